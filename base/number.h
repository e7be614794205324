/* binary64 as text, independent of the locale. */
#ifndef EBRU_BASE_NUMBER_H
#define EBRU_BASE_NUMBER_H

#include "base/arena.h"

/* Appends the shortest decimal that reads back identically. It always has a '.', an exponent, "inf"
 * or "nan", so that it is told from an integer. */
void base_print_f64(double value, base_str *out);
/* Reads a number that is the whole text; false otherwise. */
bool base_parse_f64(const char *text, size_t length, double *out);

#endif
