/* The digest of a model's weights; see weights.h. */
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "frontend/safetensors/weights.h"

static void add_text(base_digest *d, const char *s) {
    base_digest_add(d, s, strlen(s) + 1);
}

/* What a weight is and its elements, wherever they come from. */
static void add_weight(base_digest *d, const ir_weight *w) {
    base_str type = {0};
    const ir_type stored = ir_weight_stored_type(w);
    ir_print_type(&stored, &type);
    add_text(d, type.data);
    base_str_free(&type);
    if (w->kind == IR_WEIGHT_RANDOM) {
        base_digest_add(d, &w->seed, sizeof w->seed);
        base_digest_add(d, &w->bound, sizeof w->bound);
        base_digest_add(d, &w->center, sizeof w->center);
    } else if (w->data) {
        if (w->stored != IR_STORED_PLAIN) add_text(d, ir_stored_name(w->stored));
        base_digest_add(d, w->data, (size_t)ir_weight_bytes(w));
    }
}

void fe_weights_digest(const ir_module *m, char out[FE_DIGEST_TEXT]) {
    base_digest d;
    unsigned char id[16];
    base_digest_begin(&d);
    for (size_t i = 0; i < m->weights.count; i++) {
        const ir_weight *w = &m->weights.items[i];
        add_text(&d, w->name);
        add_weight(&d, w);
        for (const ir_lora *l = w->loras; l; l = l->next) {
            base_digest_add(&d, &l->scale, sizeof l->scale);
            if (l->method != IR_LORA_LOW_RANK) add_text(&d, ir_lora_method_name[l->method]);
            IR_LORA_EACH(l, k) {
                if (k > IR_LORA_MID) add_text(&d, ir_lora_factor_name[k]);
                add_weight(&d, &l->factor[k]);
            }
        }
        for (const ir_rows *r = w->rows; r; r = r->next) add_weight(&d, &r->values);
    }
    base_digest_end(&d, id);
    for (size_t i = 0; i < FE_DIGEST_TEXT / 2; i++) snprintf(out + 2 * i, 3, "%02x", id[i]);
}
