/* Evaluator: resize and pooling of images [B,C,H,W]. */
#include "ir/eval/eval.h"

#include <math.h>

/* y[i, j] = x[floor(i*H/OH), floor(j*W/OW)] */
void ir_eval_resize_nearest(const ir_eval_args *a, ir_tensor *out) {
    const ir_type *x = &a->in[IR_IN(resize_nearest, x)]->type, *y = &out->type;
    int64_t h = x->dim[2], w = x->dim[3], oh = y->dim[2], ow = y->dim[3];
    for (int64_t plane = 0; plane < y->dim[0] * y->dim[1]; plane++)
        for (int64_t i = 0; i < oh; i++) {
            const float *from =
                a->in[IR_IN(resize_nearest, x)]->data + (plane * h + i * h / oh) * w;
            float *to = out->data + (plane * oh + i) * ow;
            for (int64_t j = 0; j < ow; j++) to[j] = from[j * w / ow];
        }
}

/* Both pools: the padding is no number for the maximum, zero for the mean (and counted). */
static void pool(const ir_eval_args *a, ir_tensor *out, bool mean) {
    const struct ir_attrs_pool *at = IR_ATTRS(a->node, pool);
    const ir_type *x = &a->in[IR_IN(max_pool2d, x)]->type, *y = &out->type;
    int64_t h = x->dim[2], w = x->dim[3], kh = at->kernel.v[0], kw = at->kernel.v[1];
    float *to = out->data;
    for (int64_t plane = 0; plane < y->dim[0] * y->dim[1]; plane++)
        for (int64_t i = 0; i < y->dim[2]; i++)
            for (int64_t j = 0; j < y->dim[3]; j++) {
                double max = -INFINITY, sum = 0;
                for (int64_t r = 0; r < kh; r++)
                    for (int64_t s = 0; s < kw; s++) {
                        int64_t row = i * at->stride.v[0] + r - at->pad.v[0];
                        int64_t col = j * at->stride.v[1] + s - at->pad.v[1];
                        if (row < 0 || row >= h || col < 0 || col >= w) continue;
                        double v =
                            (double)a->in[IR_IN(max_pool2d, x)]->data[(plane * h + row) * w + col];
                        sum += v;
                        max = ir_eval_scalar(IR_OP_max, max, v);
                    }
                *to++ = (float)(mean ? sum / (double)(kh * kw) : max);
            }
}

void ir_eval_max_pool2d(const ir_eval_args *a, ir_tensor *out) {
    pool(a, out, false);
}

void ir_eval_avg_pool2d(const ir_eval_args *a, ir_tensor *out) {
    pool(a, out, true);
}
