/* Which functions and nodes a regular expression of --filter= means. */
#ifndef EBRU_IR_TEXT_NODE_FILTER_H
#define EBRU_IR_TEXT_NODE_FILTER_H

#include "ir/ir.h"

#include <regex.h>

/* False for NULL, too. */
bool ir_filter_text(const regex_t *r, const char *text);
/* A node is meant by its block, or by its op with attributes, type and kernel as in the text form
 * (an input by its name and type). */
bool ir_filter_node(const regex_t *r, const ir_func *f, const ir_node *n);

#endif
