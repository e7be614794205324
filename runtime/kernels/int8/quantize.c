/* channel_range, quantize: activations as bytes (kernel_abi_i8.h). */
#include "runtime/kernels/gather.h"

typedef uint8_t v16b __attribute__((ext_vector_type(16), aligned(16)));

EBRU_KERNEL(channel_range) {
    (void)scratch;
    const int32_t C = p->C0 + p->C1, cbs = ebru_blocks16(C), whole = p->C1 == 0 || p->C0 % 16 == 0;
    const int64_t plane = (int64_t)p->P * 16;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / cbs, cb = task % cbs;
        const struct cat cat = {
            (const float *)buf[EBRU_CHANNEL_RANGE_X0] + b * ebru_blocks16(p->C0) * plane,
            p->C1 ? (const float *)buf[EBRU_CHANNEL_RANGE_X1] + b * ebru_blocks16(p->C1) * plane
                  : NULL,
            plane, p->C0, p->C1};
        const float *block = whole ? cat_block(&cat, cb) : NULL;
        v16 least = splat16(__builtin_inff()), most = -least, nothing = splat16(0.0f);
        for (int32_t q = 0; q < p->P; q++) {
            const v16 x = whole ? load16(block + (int64_t)q * 16) : cat_lanes(&cat, cb, q);
            least = min16(x, least);
            most = max16(x, most);
            nothing += x * splat16(0.0f); /* NaN of what is not finite */
        }
        float *out = (float *)buf[EBRU_CHANNEL_RANGE_OUT] + ((int64_t)b * 2 * cbs + cb) * 16;
        store16(out, keep_first(least + nothing, C - cb * 16));
        store16(out + cbs * 16, keep_first(most + nothing, C - cb * 16));
    }
}

/* ---- scales ---- */

/* What values become: q = x * inverse + zero, rounded. */
struct record {
    float scale, inverse;
    int32_t zero;
};

/* Added to a number below 2^22, the sum's last bits are the number, rounded. */
static const float ROUND = 12582912.0f;

INLINE float bits_float(uint32_t u) {
    const union ebru_f32_bits b = {.u = u};
    return b.f;
}
INLINE uint32_t float_bits(float f) {
    const union ebru_f32_bits b = {.f = f};
    return b.u;
}

/* Of values from lo <= 0 to hi >= 0; `nothing` is 0, or NaN where there was no number. */
INLINE struct record record_of(float lo, float hi, float nothing) {
    float step = (hi - lo) * (1.0f / 255.0f);
    if (!(step > 1e-30f)) step = 1e-30f;
    struct record r;
    r.scale = bits_float((float_bits(step) + 0xffff) & 0xffff0000);
    r.inverse = 1.0f / r.scale;
    const float zero = -lo * r.inverse;
    r.zero = (int32_t)(float_bits((zero < 255.0f ? zero : 255.0f) + ROUND) & 0xff);
    r.scale += nothing;
    return r;
}

#define SILU_AT    (-1.27846454f) /* where silu is least */
#define SILU_LEAST (-0.27846454f)

/* The record of image b: from the ranges of its channels, scaled and activated. */
INLINE struct record image_record(const struct ebru_quantize_params *p, void *const *buf,
                                  int32_t b) {
    const int32_t cbs = ebru_blocks16(p->C0 + p->C1);
    const float *range = (const float *)buf[EBRU_QUANTIZE_RANGE] + (int64_t)b * 2 * cbs * 16,
                *stats = (const float *)buf[EBRU_QUANTIZE_SCALE_SHIFT];
    if (p->pro_scale) stats += (int64_t)b * 2 * cbs * 16;
    v16 lo = splat16(0.0f), hi = lo, nothing = lo;
    for (int32_t cb = 0; cb < cbs; cb++) {
        v16 x = load16(range + cb * 16), y = load16(range + (cbs + cb) * 16);
        if (p->pro_scale) {
            const v16 a = load16(stats + cb * 16), s = load16(stats + (cbs + cb) * 16);
            x = x * a + s;
            y = y * a + s;
        }
        nothing += (x + y) * splat16(0.0f);
        const v16 least = min16(x, y), most = max16(x, y);
        const v16 x1 = act16(least, p->pre_act), y1 = act16(most, p->pre_act);
        lo = min16(lo, min16(x1, y1));
        hi = max16(hi, max16(x1, y1));
        if (p->pre_act == EBRU_ACT_SILU)
            lo = select16((least < splat16(SILU_AT)) & (most > splat16(SILU_AT)),
                          min16(lo, splat16(SILU_LEAST)), lo);
    }
    return record_of(-max_of16(-lo), max_of16(hi), sum16(nothing));
}

/* ---- pixels ---- */

/* Columns [x0, x0 + n) of row y of image b; of each block of channels to `values`. */
struct segment {
    struct gather g;
    const float *stats;
    int32_t y, x, n, cbs, rest; /* y, x: of the input, padding counted; rest: of the last block */
};

INLINE void read_block(struct segment *s, int32_t cb, float *values) {
    gather_block(&s->g, cb, s->stats, s->cbs);
    gather_row(&s->g, s->y, s->x, s->n, values);
}

INLINE void pixel_records(struct segment *s, struct record *to, float *values) {
    v16 lo[EBRU_QUANTIZE_PIXELS], hi[EBRU_QUANTIZE_PIXELS], nothing[EBRU_QUANTIZE_PIXELS];
    for (int32_t i = 0; i < s->n; i++) lo[i] = hi[i] = nothing[i] = splat16(0.0f);
    for (int32_t cb = 0; cb < s->cbs; cb++) {
        read_block(s, cb, values);
        for (int32_t i = 0; i < s->n; i++) {
            v16 v = load16(values + i * 16);
            if (cb == s->cbs - 1) v = keep_first(v, s->rest);
            lo[i] = min16(v, lo[i]);
            hi[i] = max16(v, hi[i]);
            nothing[i] += v * splat16(0.0f);
        }
    }
    for (int32_t i = 0; i < s->n; i++)
        to[i] = record_of(-max_of16(-lo[i]), max_of16(hi[i]), sum16(nothing[i]));
}

INLINE v16b quantized(v16 v, const struct record *r) {
    v = v * splat16(r->inverse) + splat16((float)r->zero);
    v = min16(max16(v, splat16(0.0f)), splat16(255.0f));
    return __builtin_convertvector((v16u)(v + splat16(ROUND)) & splatu(0xff), v16b);
}

INLINE void put_record(uint8_t *to, const struct record *r) {
    typedef uint32_t v4u __attribute__((ext_vector_type(4), aligned(16)));
    *(v4u *)(void *)to = (v4u){float_bits(r->scale), (uint32_t)r->zero, 0, 0};
}

EBRU_KERNEL(quantize) {
    (void)scratch;
    const int32_t chunks = ebru_ceil_div(p->OW, EBRU_QUANTIZE_PIXELS), C = p->C0 + p->C1,
                  row = ebru_i8_row(C);
    const int64_t plane = (int64_t)p->H * p->W * 16;
    struct segment s = {.cbs = ebru_blocks16(C)};
    s.rest = C - (s.cbs - 1) * 16;
    float values[EBRU_QUANTIZE_PIXELS * 16] __attribute__((aligned(64)));
    struct record records[EBRU_QUANTIZE_PIXELS];
    int32_t seen = -1;
    for (int32_t task = task_begin; task < task_end; task++) {
        const int32_t b = task / (p->OH * chunks), y = task / chunks % p->OH,
                      x = task % chunks * EBRU_QUANTIZE_PIXELS;
        s.g = (struct gather){
            .cat = cat_image(buf[EBRU_QUANTIZE_X0], buf[EBRU_QUANTIZE_X1], b, p->C0, p->C1, plane),
            .H = p->H,
            .W = p->W,
            .UH = p->UH,
            .UW = p->UW,
            .scaled = p->pro_scale,
            .act = p->pre_act};
        s.stats = (const float *)buf[EBRU_QUANTIZE_SCALE_SHIFT];
        if (p->pro_scale) s.stats += (int64_t)b * 2 * s.cbs * 16;
        s.y = y - p->PT;
        s.x = x - p->PL;
        s.n = ebru_min_i32(EBRU_QUANTIZE_PIXELS, p->OW - x);
        if (!p->ranged) {
            pixel_records(&s, records, values);
        } else if (b != seen) {
            seen = b;
            records[0] = image_record(p, buf, b);
            for (int32_t i = 1; i < EBRU_QUANTIZE_PIXELS; i++) records[i] = records[0];
        }
        uint8_t *out =
            (uint8_t *)buf[EBRU_QUANTIZE_OUT] + (((int64_t)b * p->OH + y) * p->OW + x) * row;
        for (int32_t cb = 0; cb < s.cbs; cb++) {
            read_block(&s, cb, values);
            for (int32_t i = 0; i < s.n; i++)
                *(v16b *)(out + i * row + cb * 16) =
                    quantized(load16(values + i * 16), &records[i]);
        }
        for (int32_t i = 0; i < s.n; i++) {
            for (int32_t c = s.cbs * 16; c < row - EBRU_I8_RECORD; c += 16)
                *(v16b *)(out + i * row + c) = (v16b)(0);
            put_record(out + i * row + row - EBRU_I8_RECORD, &records[i]);
        }
    }
}
