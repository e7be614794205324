#include "base/suggest.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { WORD_MAX = 128 };

static unsigned lower(char c) {
    unsigned u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? u + 32 : u;
}

/* Damerau-Levenshtein distance (optimal string alignment: insert, delete, replace, swap
 * neighbours), letters compared without case. Wagner & Fischer's table, three rows of it. */
static size_t edit_distance(const char *a, size_t n, const char *b, size_t m) {
    size_t rows[3][WORD_MAX + 1];
    for (size_t j = 0; j <= m; j++) rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = up[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
            if (up[j] + 1 < best) best = up[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]) && up2[j - 2] + 1 < best) {
                best = up2[j - 2] + 1;
            }
            row[j] = best;
        }
    }
    return rows[n % 3][m];
}

static bool is_initial(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool same_initials(const char *a, const char *b) {
    if (strcasecmp(a, b) == 0) return true;
    for (;; a++, b++) {
        while (*a && !is_initial(*a)) a++;
        while (*b && !is_initial(*b)) b++;
        if (*a != *b) return false;
        if (!*a) return true;
    }
}

static const char *nearest(const char *word, const char *const *candidates, size_t count,
                           bool classes) {
    size_t n = strlen(word);
    if (n == 0 || n > WORD_MAX) return NULL;
    size_t best = (n / 3 > 1 ? n / 3 : 1) + 1;
    const char *found = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t m = candidates[i] ? strlen(candidates[i]) : 0;
        if (m == 0 || m > WORD_MAX || (m > n ? m - n : n - m) >= best) continue;
        if (classes && !same_initials(word, candidates[i])) continue;
        size_t distance = edit_distance(word, n, candidates[i], m);
        if (distance < best) {
            best = distance;
            found = candidates[i];
        }
    }
    return found;
}

const char *base_suggest(const char *word, const char *const *candidates, size_t count) {
    return nearest(word, candidates, count, false);
}

const char *base_suggest_class(const char *word, const char *const *candidates, size_t count) {
    return nearest(word, candidates, count, true);
}

const char *base_hint(const char *near, char out[BASE_HINT_MAX]) {
    out[0] = '\0';
    if (near) snprintf(out, BASE_HINT_MAX, "; did you mean '%.128s'?", near);
    return out;
}
