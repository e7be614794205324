/* Zip archives as torch.save writes them; see torch_file.h. (PKWARE, "APPNOTE.TXT", 4.3 and 4.5.3.)
 * */
#include <string.h>

#include "frontend/torch/torch_file.h"

enum {
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    MOST_MEMBERS = 1 << 20
};

static uint64_t get(const uint8_t *p, unsigned bytes) {
    uint64_t n = 0;
    for (unsigned i = 0; i < bytes; i++) n |= (uint64_t)p[i] << 8 * i;
    return n;
}

/* The record at the end of the archive, which a comment may follow. */
static bool find_end(const uint8_t *data, size_t size, size_t *at) {
    enum { COMMENT = 65535 };
    size_t least = size > END_BYTES + COMMENT ? size - END_BYTES - COMMENT : 0;
    if (size < END_BYTES) return false;
    for (*at = size - END_BYTES;; --*at) {
        if (memcmp(data + *at, "PK\5\6", 4) == 0) return true;
        if (*at == least) return false;
    }
}

/* Where the directory is; large archives say it in a record of their own. */
static bool find_directory(const uint8_t *data, size_t size, uint64_t *count, uint64_t *offset) {
    size_t end;
    if (!find_end(data, size, &end)) return false;
    *count = get(data + end + 10, 2);
    *offset = get(data + end + 16, 4);
    if (*count != 0xffff && *offset != 0xffffffff) return true;
    if (end < LOCATOR_BYTES || memcmp(data + end - LOCATOR_BYTES, "PK\6\7", 4) != 0) return true;
    uint64_t end64 = get(data + end - LOCATOR_BYTES + 8, 8);
    if (end64 > size || size - end64 < END64_BYTES || memcmp(data + end64, "PK\6\6", 4) != 0)
        return false;
    *count = get(data + end64 + 32, 8);
    *offset = get(data + end64 + 48, 8);
    return true;
}

/* Sizes and offsets of 4 GiB and more stand in an extra field, those that are needed, in this
 * order. */
static void read_extra(const uint8_t *extra, size_t length, uint64_t *value[3]) {
    while (length >= 4) {
        uint64_t id = get(extra, 2), n = get(extra + 2, 2);
        if (n > length - 4) return;
        const uint8_t *p = extra + 4;
        for (int i = 0; id == 1 && i < 3; i++) {
            if (*value[i] != 0xffffffff || n < 8) continue;
            *value[i] = get(p, 8);
            p += 8;
            n -= 8;
        }
        n = get(extra + 2, 2);
        extra += 4 + n;
        length -= 4 + n;
    }
}

static bool find_data(const uint8_t *data, size_t size, uint64_t offset, uint64_t bytes,
                      zip_member *m) {
    if (offset > size || size - offset < LOCAL_BYTES || memcmp(data + offset, "PK\3\4", 4) != 0)
        return false;
    uint64_t begin = offset + LOCAL_BYTES + get(data + offset + 26, 2) + get(data + offset + 28, 2);
    if (begin > size || bytes > size - begin) return false;
    m->data = data + begin;
    m->size = (size_t)bytes;
    return true;
}

bool zip_read(const uint8_t *data, size_t size, zip_members *out, const char **why) {
    uint64_t count, at;
    *why = "it has no directory at its end: a download that did not finish?";
    if (!find_directory(data, size, &count, &at)) return false;
    *why = "its directory is damaged";
    if (count > MOST_MEMBERS) return false;
    for (uint64_t i = 0; i < count; i++) {
        if (at > size || size - at < CENTRAL_BYTES || memcmp(data + at, "PK\1\2", 4) != 0)
            return false;
        const uint8_t *p = data + at;
        uint64_t packed = get(p + 20, 4), whole = get(p + 24, 4), offset = get(p + 42, 4);
        size_t name = (size_t)get(p + 28, 2), extra = (size_t)get(p + 30, 2),
               comment = (size_t)get(p + 32, 2);
        at += CENTRAL_BYTES;
        if (size - at < name + extra + comment) return false;
        read_extra(data + at + name, extra, (uint64_t *[]){&whole, &packed, &offset});
        zip_member m = {.name = (const char *)data + at,
                        .name_length = name,
                        .stored = get(p + 10, 2) == 0 && packed == whole};
        if (!find_data(data, size, offset, packed, &m)) return false;
        BASE_PUSH(out, m);
        at += name + extra + comment;
    }
    return true;
}
