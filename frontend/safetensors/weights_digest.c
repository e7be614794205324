/* The digest of a model's weights; see weights.h. */
#include <stdio.h>
#include <string.h>

#include "base/lora_slots.h"
#include "frontend/safetensors/weights.h"

static void add_text(base_digest *d, const char *s) {
    base_digest_add(d, s, strlen(s) + 1);
}

/* What a weight is and its elements, wherever they come from. */
void fe_digest_weight(base_digest *d, const ir_weight *w) {
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

void fe_digest_text(const unsigned char id[16], char out[FE_DIGEST_TEXT]) {
    for (size_t i = 0; i < FE_DIGEST_TEXT / 2; i++) snprintf(out + 2 * i, 3, "%02x", id[i]);
}

void fe_weights_digest(const ir_module *m, char out[FE_DIGEST_TEXT]) {
    base_digest d;
    unsigned char id[16];
    base_digest_begin(&d);
    for (size_t i = 0; i < m->weights.count; i++) {
        const ir_weight *w = &m->weights.items[i];
        if (strncmp(w->name, BASE_LORA_INPUT, strlen(BASE_LORA_INPUT)) == 0)
            continue; /* a slot's */
        add_text(&d, w->name);
        fe_digest_weight(&d, w);
        for (const ir_lora *l = w->loras; l; l = l->next) {
            base_digest_add(&d, &l->scale, sizeof l->scale);
            if (l->method != IR_LORA_LOW_RANK) add_text(&d, ir_lora_method_name[l->method]);
            IR_LORA_EACH(l, k) {
                if (k > IR_LORA_MID) add_text(&d, ir_lora_factor_name[k]);
                fe_digest_weight(&d, &l->factor[k]);
            }
        }
        for (const ir_rows *r = w->rows; r; r = r->next) fe_digest_weight(&d, &r->values);
    }
    base_digest_end(&d, id);
    fe_digest_text(id, out);
}
