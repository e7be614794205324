/* binary64 as text, independent of the locale; see number.h. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

enum {
    NUMBER_TEXT = 128
}; /* longer literals are refused; the longest printed one has 24 characters */

/* The C library reads and writes the locale's decimal point. */
static const char *locale_point(void) {
    const char *point = localeconv()->decimal_point;
    return point && *point ? point : ".";
}

void base_print_f64(double value, base_str *out) {
    if (isnan(value)) {
        base_str_add(out, "nan");
        return;
    }
    if (isinf(value)) {
        base_str_add(out, value < 0 ? "-inf" : "inf");
        return;
    }
    char text[64];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    const char *point = locale_point();
    char *at = strstr(text, point);
    if (at) {
        base_str_addn(out, text, (size_t)(at - text));
        base_str_add(out, ".");
        base_str_add(out, at + strlen(point));
        return;
    }
    base_str_add(out, text);
    if (!strchr(text, 'e')) base_str_add(out, ".0");
}

bool base_parse_f64(const char *text, size_t length, double *out) {
    const char *point = locale_point();
    char buffer[NUMBER_TEXT + 16];
    size_t n = 0;
    if (length == 0 || length > NUMBER_TEXT || strlen(point) > 15) return false;
    bool negative = text[0] == '-';
    const char *word = text + negative;
    size_t rest = length - negative;
    if (rest == 3 && memcmp(word, "inf", 3) == 0) {
        *out = negative ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    if (rest == 3 && !negative && memcmp(word, "nan", 3) == 0) {
        *out = (double)NAN;
        return true;
    }
    bool seen_point = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '.' && !seen_point) {
            memcpy(buffer + n, point, strlen(point));
            n += strlen(point);
            seen_point = true;
        } else if ((c >= '0' && c <= '9') || c == 'e' || c == 'E' || c == '-' || c == '+') {
            buffer[n++] = c;
        } else {
            return false; /* no hexadecimal, no spaces, no second point */
        }
    }
    buffer[n] = '\0';
    char *end;
    *out = strtod(buffer, &end);
    return end == buffer + n && end != buffer;
}
