/* Names that compiler and programs share for LoRAs that are applied when a program runs. A function
 * "unet" that such a LoRA changes has a twin "unet.lora" (its stages are "unet.lora.step" ...), with
 * an input "lora.NAME", f32[1], for each slot: what the slot's update is multiplied by. */
#ifndef EBRU_BASE_LORA_SLOTS_H
#define EBRU_BASE_LORA_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define BASE_LORA_TWIN  ".lora"
#define BASE_LORA_INPUT "lora."

/* Slots of a program. */
enum { BASE_LORA_SLOTS = 64 };

/* Whether a function, or a stage of one, is a twin. */
static inline bool base_is_lora_twin(const char *function) {
    const size_t n = sizeof BASE_LORA_TWIN - 1;
    for (const char *p = function; (p = strstr(p, BASE_LORA_TWIN)); p += n)
        if (!p[n] || p[n] == '.') return true;
    return false;
}

#endif
