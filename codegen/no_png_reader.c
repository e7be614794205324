/* Linked into emitted programs only. They write PNG files and never read one, but libpng's simplified API,
 * which sits in one object with what every writer needs, refers to the reader's destructor and through it to
 * the whole decoder. This definition comes first, so the decoder stays out of programs; nobody calls it. */
#include <stdlib.h>

void png_destroy_read_struct(void **png, void **info, void **end);
void png_destroy_read_struct(void **png, void **info, void **end) {
    (void)png, (void)info, (void)end;
    abort();
}
