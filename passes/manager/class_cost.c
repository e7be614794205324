/* What a class of precision makes of one op's time, for who chooses classes. */
#include "passes/manager/forms.h"

double pass_class_cost(pass_context *c, const pass_options *o, ir_func *f, ir_ref node,
                       ir_precision class) {
    const pass_options *before = c->options;
    pass_costs costs = {.int8 = class == IR_PRECISION_INT8};
    c->options = o;
    pass_costs_add(&costs, c, f, node);
    const double cost = costs.estimate[pass_best_way(c, &costs, class)];
    c->options = before;
    return cost;
}
