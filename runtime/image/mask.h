/* Masks as their writers mean them: drawn in brightness, or as transparency. */
#ifndef EBRU_RUNTIME_IMAGE_MASK_H
#define EBRU_RUNTIME_IMAGE_MASK_H

#include <stddef.h>
#include <stdint.h>

/* What says where a mask repaints. */
typedef enum rt_mask_kind {
    RT_MASK_GRAY,       /* its brightness */
    RT_MASK_GRAY_ALPHA, /* its brightness, but its transparency says something else */
    RT_MASK_HOLES,      /* dark with holes: what is transparent is repainted */
    RT_MASK_STROKES,    /* bright strokes on nothing: what is opaque is repainted */
    RT_MASK_ALL,        /* nothing: it is white everywhere */
    RT_MASK_NOTHING,    /* nothing: it has one darker gray everywhere */
    RT_MASK_BELOW_HALF  /* its brightness, which is nowhere half of white or above */
} rt_mask_kind;

/* pixels[n][2], gray and alpha, -> out[n], from 128 on repainted. A mask of one gray everywhere is
 * drawn by its alpha, if that has both halves; any other by its gray. out may be pixels. */
rt_mask_kind rt_mask_of(const uint8_t *pixels, size_t n, uint8_t *out);

#endif
