/* An entry of a list in Markdown; see lists.h. */
#include "driver/commands/lists.h"

#include <string.h>

enum { WIDTH = 100 };

void drv_list_entry(const char *text, base_str *out) {
    size_t column = 1;
    base_str_add(out, "-");
    for (const char *word = text; *word;) {
        size_t n = strcspn(word, " ");
        if (column + 1 + n > WIDTH) {
            base_str_add(out, "\n ");
            column = 1;
        }
        base_str_addf(out, " %.*s", (int)n, word);
        column += 1 + n;
        word += n + (word[n] == ' ');
    }
    base_str_add(out, "\n");
}
