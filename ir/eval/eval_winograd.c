/* Evaluator: 3x3 convolution by Winograd F(MxM, 3x3) as it is defined, Y = A^T [(G g G^T)
 * . (B^T d B)] A (Winograd 1980; Lavin and Gray, arXiv:1509.09308), and the transformation of its
 * filters.
 *
 * The matrices are those of Cook and Toom's construction: with points a_j and M(x) = prod (x -
 * a_j), row j of B^T holds the coefficients of M(x) / (x - a_j), row j of G is [1, a_j, a_j^2] over
 * the value of that polynomial at a_j, column j of A^T is [1, a_j, ...]; the last row or column is
 * that of the point at infinity. */
#include "ir/eval/eval.h"

#include <string.h>

enum { MAX_M = 4, MAX_P = MAX_M + 2 };

typedef struct transform {
    int64_t m, p; /* outputs and points an axis */
    double at[MAX_M][MAX_P], g[MAX_P][3], bt[MAX_P][MAX_P];
} transform;

static transform transform_of(int64_t m) {
    static const double points2[] = {0, 1, -1}, points4[] = {0, 0.5, -0.5, 1.5, -1.5};
    const double *a = m == 2 ? points2 : points4;
    transform t = {.m = m, .p = m + 2};
    int64_t finite = m + 1;
    for (int64_t j = 0; j <= finite; j++) {
        /* coefficients of the product of (x - a_k) over k != j; over all k for the point at
         * infinity */
        double c[MAX_P] = {1}, value = 1;
        int64_t degree = 0;
        for (int64_t k = 0; k < finite; k++) {
            if (k == j) continue;
            for (int64_t i = ++degree; i > 0; i--) c[i] = c[i - 1] - a[k] * c[i];
            c[0] *= -a[k];
            if (j < finite) value *= a[j] - a[k];
        }
        for (int64_t i = 0; i < t.p; i++) t.bt[j][i] = c[i];
        double power = 1;
        for (int64_t i = 0; i < MAX_P && j < finite; i++, power *= a[j]) {
            if (i < 3) t.g[j][i] = power / value;
            if (i < m) t.at[i][j] = power;
        }
    }
    t.g[finite][2] = 1;
    t.at[m - 1][finite] = 1;
    return t;
}

/* G g G^T of a block of filters: taps[9][lanes] -> u[points][lanes], a point `step` floats after
 * the other. */
static void transform_block(const transform *t, double taps[9][IR_BLOCK], float *u, int64_t step) {
    double gg[MAX_P][3][IR_BLOCK]; /* G g */
    for (int64_t i = 0; i < t->p; i++)
        for (int64_t x = 0; x < 3; x++)
            for (int64_t k = 0; k < IR_BLOCK; k++)
                gg[i][x][k] = t->g[i][0] * taps[x][k] + t->g[i][1] * taps[3 + x][k] +
                              t->g[i][2] * taps[6 + x][k];
    for (int64_t i = 0; i < t->p; i++)
        for (int64_t j = 0; j < t->p; j++, u += step)
            for (int64_t k = 0; k < IR_BLOCK; k++)
                u[k] = (float)(gg[i][0][k] * t->g[j][0] + gg[i][1][k] * t->g[j][1] +
                               gg[i][2][k] * t->g[j][2]);
}

/* Where (n, c) of the point stands in a transformed filter, and how far its second part is from
 * there: f32 [points][nb][cb][16 c][16 n], bf16 [points][nb][cb][parts][16 c][16 n][2]. */
enum { PART = IR_BLOCK * IR_BF16_BLOCK };
static int64_t filter_index(const ir_type *u, int64_t point, int64_t n, int64_t c) {
    const int64_t column = point * u->dim[1] + n / IR_BLOCK;
    if (u->rank == 5)
        return ((column * u->dim[2] + c / IR_BLOCK) * IR_BLOCK + c % IR_BLOCK) * IR_BLOCK +
               n % IR_BLOCK;
    const int64_t block = (column * u->dim[2] + c / IR_BF16_BLOCK) * u->dim[3],
                  pair = c % IR_BF16_BLOCK / 2;
    return ((block * IR_BLOCK + pair) * IR_BLOCK + n % IR_BLOCK) * 2 + c % 2;
}

/* w [N,C,3,3] -> G g G^T at all points, in the precision of the products */
void ir_eval_pack_winograd_weight(const ir_eval_args *a, ir_tensor *out) {
    const ir_type *w = &a->in[IR_IN(pack_winograd_weight, w)]->type;
    const struct ir_attrs_tile *at = IR_ATTRS(a->node, tile);
    const transform t = transform_of(at->tile);
    const int64_t points = t.p * t.p;
    for (int64_t n = 0; n < w->dim[0]; n += IR_BLOCK)
        for (int64_t c = 0; c < w->dim[1]; c++) {
            double taps[9][IR_BLOCK] = {{0}};
            float u[MAX_P * MAX_P][IR_BLOCK];
            for (int64_t k = 0; k < IR_BLOCK && n + k < w->dim[0]; k++)
                for (int64_t i = 0; i < 9; i++)
                    taps[i][k] = (double)a->in[IR_IN(pack_winograd_weight, w)]
                                     ->data[((n + k) * w->dim[1] + c) * 9 + i];
            transform_block(&t, taps, u[0], IR_BLOCK);
            for (int64_t p = 0; p < points; p++) {
                float *to = out->data + filter_index(&out->type, p, n, c);
                if (at->precision == IR_PRECISION_F32) {
                    memcpy(to, u[p], sizeof u[p]); /* [16 n] stand together */
                    continue;
                }
                for (int64_t k = 0; k < IR_BLOCK; k++, to += 2) { /* [16 n][2] */
                    double lo;
                    *to = (float)ir_eval_split(at->precision, (double)u[p][k], &lo);
                    if (at->precision == IR_PRECISION_BF16X3) to[PART] = (float)lo;
                }
            }
        }
}

typedef struct wino {
    transform t;
    const struct ir_attrs_winograd *at;
    int64_t c, h, w, uh, uw; /* input as stored and as read */
    int64_t n, oh, ow;
    const ir_tensor *u;
} wino;

/* B^T d B of the tile at output (oy, ox), every channel, as products have it: v[C][points], and
 * their first parts, where there are two, upper[C][points]. */
static void tile_input(const wino *k, const double *image, int64_t oy, int64_t ox, double *v,
                       double *upper) {
    const transform *t = &k->t;
    double *all = v;
    for (int64_t c = 0; c < k->c; c++, v += t->p * t->p) {
        double d[MAX_P][MAX_P], bd[MAX_P][MAX_P] = {{0}};
        for (int64_t y = 0; y < t->p; y++)
            for (int64_t x = 0; x < t->p; x++) {
                int64_t iy = oy + y - k->at->pad.v[0], ix = ox + x - k->at->pad.v[1];
                bool inside = iy >= 0 && iy < k->uh && ix >= 0 && ix < k->uw;
                d[y][x] =
                    inside ? image[(c * k->h + iy * k->h / k->uh) * k->w + ix * k->w / k->uw] : 0;
            }
        for (int64_t i = 0; i < t->p; i++)
            for (int64_t x = 0; x < t->p; x++)
                for (int64_t y = 0; y < t->p; y++) bd[i][x] += t->bt[i][y] * d[y][x];
        for (int64_t i = 0; i < t->p; i++)
            for (int64_t j = 0; j < t->p; j++) {
                double sum = 0;
                for (int64_t x = 0; x < t->p; x++) sum += bd[i][x] * t->bt[j][x];
                v[i * t->p + j] = sum;
            }
    }
    ir_eval_lower(k->at->precision, all, upper, k->c * t->p * t->p);
}

/* A^T [sum over c of u . v] A for output channel n: y[m][m]. */
static void tile_output(const wino *k, const double *v, const double *upper, int64_t n,
                        double y[MAX_M][MAX_M]) {
    const transform *t = &k->t;
    int64_t points = t->p * t->p;
    double s[MAX_P][MAX_P], as[MAX_M][MAX_P] = {{0}};
    const bool split = k->at->precision == IR_PRECISION_BF16X3;
    for (int64_t p = 0; p < points; p++) {
        double sum = 0;
        for (int64_t c = 0; c < k->c; c++) {
            const float *u = k->u->data + filter_index(&k->u->type, p, n, c);
            sum += (double)*u * v[c * points + p];
            if (split) sum += (double)u[PART] * upper[c * points + p];
        }
        s[p / t->p][p % t->p] = sum;
    }
    for (int64_t i = 0; i < t->m; i++)
        for (int64_t x = 0; x < t->p; x++)
            for (int64_t p = 0; p < t->p; p++) as[i][x] += t->at[i][p] * s[p][x];
    for (int64_t i = 0; i < t->m; i++)
        for (int64_t j = 0; j < t->m; j++) {
            y[i][j] = 0;
            for (int64_t x = 0; x < t->p; x++) y[i][j] += as[i][x] * t->at[j][x];
        }
}

void ir_eval_conv2d_winograd(const ir_eval_args *a, ir_tensor *out) {
    const ir_type *x = &a->in[IR_IN(conv2d_winograd, x)]->type, *y = &out->type;
    wino k = {.at = IR_ATTRS(a->node, winograd), .c = x->dim[1], .h = x->dim[2], .w = x->dim[3]};
    k.t = transform_of(k.at->tile);
    if (a->in[IR_IN(conv2d_winograd, x1)]) k.c += a->in[IR_IN(conv2d_winograd, x1)]->type.dim[1];
    k.uh = k.at->upsample.v[0] ? k.at->upsample.v[0] : k.h;
    k.uw = k.at->upsample.v[1] ? k.at->upsample.v[1] : k.w;
    k.n = y->dim[1], k.oh = y->dim[2], k.ow = y->dim[3];
    k.u = a->in[IR_IN(conv2d_winograd, w)];
    double *image = base_alloc((size_t)(k.c * k.h * k.w) * sizeof *image);
    const size_t values = (size_t)(k.c * k.t.p * k.t.p);
    double *v = base_alloc(2 * values * sizeof *v), *upper = v + values;
    for (int64_t b = 0; b < x->dim[0]; b++) {
        ir_eval_conv_image(a, k.at->pre_act, b, image);
        for (int64_t oy = 0; oy < k.oh; oy += k.t.m)
            for (int64_t ox = 0; ox < k.ow; ox += k.t.m) {
                tile_input(&k, image, oy, ox, v, upper);
                for (int64_t n = 0; n < k.n; n++) {
                    double tile[MAX_M][MAX_M];
                    tile_output(&k, v, upper, n, tile);
                    for (int64_t i = 0; i < k.t.m && oy + i < k.oh; i++)
                        ir_eval_conv_finish(a, k.at->act, b, n, tile[i], (oy + i) * k.ow + ox,
                                            k.ow - ox < k.t.m ? k.ow - ox : k.t.m, out);
                }
            }
    }
    base_free(v);
    base_free(image);
}
