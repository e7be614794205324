/* Evaluator: a 3x3 convolution of an input at twice its size, by four 2x2 filters on the input as
 * it is.
 *
 * Along an axis the doubled input has each value twice. Output 2i reads values 2i-1, 2i, 2i+1 of
 * it, which are i-1, i, i: taps w0 and w1+w2. Output 2i+1 reads i, i, i+1: taps w0+w1 and w2. So
 * phase r begins at input i-1+r, and zero padding of the doubled input by one is zero padding of
 * the input by one. */
#include "ir/eval/eval.h"

#include <string.h>

/* Tap k of a phase along one axis is the sum of the taps [first, last] of the 3. */
static const int FIRST[2][2] = {{0, 1}, {0, 2}}, LAST[2][2] = {{0, 2}, {1, 2}};

void ir_eval_phase_filter(const ir_eval_args *a, ir_tensor *out) {
    const ir_type *t = &a->in[IR_IN(phase_filter, w)]->type;
    const int64_t n = t->dim[0], c = t->dim[1], rows = ir_round_block(n);
    for (int r = 0; r < 2; r++)
        for (int s = 0; s < 2; s++)
            for (int64_t i = 0; i < n * c; i++) {
                const float *w = a->in[IR_IN(phase_filter, w)]->data + i * 9;
                float *to = out->data + ((2 * r + s) * rows * c + i) * 4;
                for (int ky = 0; ky < 2; ky++)
                    for (int kx = 0; kx < 2; kx++) {
                        double sum = 0;
                        for (int y = FIRST[r][ky]; y <= LAST[r][ky]; y++)
                            for (int x = FIRST[s][kx]; x <= LAST[s][kx]; x++)
                                sum += (double)w[y * 3 + x];
                        to[ky * 2 + kx] = (float)sum;
                    }
            }
}

/* Adds to one output row of a phase: row 2y+r, columns s, s+2, ..; w is the filter [C][2][2]. */
static void phase_row(const double *image, const float *w, int64_t c, int64_t h, int64_t width,
                      int64_t y, int r, int s, double *sum) {
    for (int64_t i = 0; i < c; i++)
        for (int ky = 0; ky < 2; ky++) {
            int64_t row = y - 1 + r + ky;
            if (row < 0 || row >= h) continue;
            const double *from = image + (i * h + row) * width;
            for (int kx = 0; kx < 2; kx++) {
                double tap = (double)w[i * 4 + ky * 2 + kx];
                int64_t shift = s - 1 + kx, first = shift < 0 ? 1 : 0,
                        last = shift > 0 ? width - 1 : width;
                for (int64_t x = first; x < last; x++) sum[2 * x + s] += tap * from[x + shift];
            }
        }
}

void ir_eval_conv2d_phases(const ir_eval_args *a, ir_tensor *out) {
    const struct ir_attrs_phases *at = IR_ATTRS(a->node, phases);
    const ir_type *x = &a->in[IR_IN(conv2d_phases, x)]->type;
    const int64_t h = x->dim[2], width = x->dim[3], n = at->n, rows = ir_round_block(n);
    const int64_t c = x->dim[1] + (a->in[IR_IN(conv2d_phases, x1)]
                                       ? a->in[IR_IN(conv2d_phases, x1)]->type.dim[1]
                                       : 0),
                  size = c * h * width;
    ir_filter filter = ir_eval_filter(a->in[IR_IN(conv2d_phases, w)], 4 * rows, c);
    double *image = base_alloc((size_t)size * 2 * sizeof *image), *upper = image + size;
    double *sum = base_alloc((size_t)(2 * width) * sizeof *sum);
    for (int64_t b = 0; b < x->dim[0]; b++) {
        ir_eval_conv_image(a, at->pre_act, b, image);
        ir_eval_lower(at->precision, image, upper, size);
        for (int64_t o = 0; o < n; o++)
            for (int64_t y = 0; y < 2 * h; y++) {
                int r = (int)(y % 2);
                memset(sum, 0, (size_t)(2 * width) * sizeof *sum);
                for (int s = 0; s < 2; s++) { /* hi (x.hi + x.lo) + lo x.hi */
                    int64_t at_row = ((2 * r + s) * rows + o) * c * 4;
                    phase_row(image, filter.hi + at_row, c, h, width, y / 2, r, s, sum);
                    if (filter.lo)
                        phase_row(upper, filter.lo + at_row, c, h, width, y / 2, r, s, sum);
                }
                ir_eval_conv_finish(a, at->act, b, o, sum, y * 2 * width, 2 * width, out);
            }
    }
    base_free(sum);
    base_free(image);
    base_free(filter.owned);
}
