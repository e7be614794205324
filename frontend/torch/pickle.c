/* The pickles of torch.save; see torch_file.h. The machine has a stack, a memo and marks, as
 * Python's pickletools documents them. */
#include <string.h>

#include "base/json/json_scan.h"
#include "frontend/torch/torch_file.h"

enum { MOST_MEMO = 1 << 20, MOST_ITEMS = 1 << 22 };

typedef struct machine {
    pickle *p;
    const uint8_t *data;
    size_t size, at;
    BASE_VEC(pickle_value *) stack;
    BASE_VEC(size_t) marks;
    BASE_VEC(pickle_value *) memo;
    size_t copied; /* items of tuples and dictionaries, which one opcode can copy many of */
    base_str *why;
} machine;

static bool fault(machine *m, const char *text) {
    if (!m->why->len) base_str_add(m->why, text);
    return false;
}

static bool damaged(machine *m) {
    return fault(m, "its pickle is damaged");
}

/* ---- reading and the stack ---- */

static bool take(machine *m, uint64_t count, const uint8_t **bytes) {
    if (count > m->size - m->at) return damaged(m);
    *bytes = m->data + m->at;
    m->at += (size_t)count;
    return true;
}

static bool take_number(machine *m, unsigned bytes, uint64_t *n) {
    const uint8_t *p;
    if (!take(m, bytes, &p)) return false;
    *n = 0;
    for (unsigned i = 0; i < bytes; i++) *n |= (uint64_t)p[i] << 8 * i;
    return true;
}

static pickle_value *new_value(machine *m, pickle_kind kind) {
    pickle_value *v = base_arena_alloc(m->p->arena, sizeof *v);
    v->kind = kind;
    BASE_PUSH(&m->p->values, v);
    return v;
}

static bool push(machine *m, pickle_value *v) {
    BASE_PUSH(&m->stack, v);
    return true;
}

/* Values below the last mark belong to what is outside of it. */
static size_t floor_of(const machine *m) {
    return m->marks.count ? m->marks.items[m->marks.count - 1] : 0;
}

static pickle_value *pop(machine *m) {
    if (m->stack.count > floor_of(m)) return m->stack.items[--m->stack.count];
    damaged(m);
    return NULL;
}

static pickle_value *top(machine *m) {
    if (m->stack.count > floor_of(m)) return m->stack.items[m->stack.count - 1];
    damaged(m);
    return NULL;
}

/* The values since the last mark, which is taken away: they are still behind the stack's end. */
static bool pop_mark(machine *m, pickle_value ***items, size_t *count) {
    if (!m->marks.count) return damaged(m);
    size_t begin = m->marks.items[--m->marks.count];
    *items = m->stack.items + begin;
    *count = m->stack.count - begin;
    m->stack.count = begin;
    return true;
}

static bool push_int(machine *m, pickle_kind kind, int64_t n) {
    pickle_value *v = new_value(m, kind);
    v->number = n;
    return push(m, v);
}

static bool push_text(machine *m, uint64_t length) {
    const uint8_t *bytes;
    if (!take(m, length, &bytes)) return false;
    if (base_utf8_check((const char *)bytes, (size_t)length) != length ||
        memchr(bytes, 0, (size_t)length))
        return fault(m, "its pickle has a text that is not UTF-8");
    pickle_value *v = new_value(m, PICKLE_TEXT);
    v->text = base_arena_strndup(m->p->arena, (const char *)bytes, (size_t)length);
    return push(m, v);
}

static bool may_copy(machine *m, size_t count) {
    if (count > MOST_ITEMS - m->copied) return fault(m, "its pickle makes too much of its bytes");
    m->copied += count;
    return true;
}

static bool push_tuple(machine *m, pickle_value **items, size_t count) {
    if (!may_copy(m, count)) return false;
    pickle_value *v = new_value(m, PICKLE_TUPLE);
    for (size_t i = 0; i < count; i++) BASE_PUSH(&v->items, items[i]);
    return push(m, v);
}

static bool small_tuple(machine *m, size_t count) {
    if (m->stack.count - floor_of(m) < count) return damaged(m);
    m->stack.count -= count;
    return push_tuple(m, m->stack.items + m->stack.count, count);
}

/* ---- names and calls ---- */

static const char *const storages[] = {
    "torch.FloatStorage", "torch.HalfStorage", "torch.BFloat16Storage", "torch.DoubleStorage",
    "torch.LongStorage",  "torch.IntStorage",  "torch.ShortStorage",    "torch.CharStorage",
    "torch.ByteStorage",  "torch.BoolStorage"};
static const char *const callables[] = {
    "collections.OrderedDict", "torch.Size", "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"};

static bool is_one_of(const char *name, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, list[i]) == 0) return true;
    return false;
}

/* A name of Python's that the pickle wants. */
static bool push_name(machine *m, const char *module, size_t module_length, const char *name,
                      size_t length) {
    pickle_value *v = new_value(m, PICKLE_NAME);
    base_str s = {0};
    base_str_addn(&s, module, module_length);
    base_str_add(&s, ".");
    base_str_addn(&s, name, length);
    v->text = base_arena_strdup(m->p->arena, s.data);
    base_str_free(&s);
    if (is_one_of(v->text, storages, sizeof storages / sizeof *storages) ||
        is_one_of(v->text, callables, sizeof callables / sizeof *callables))
        return push(m, v);
    base_str_addf(m->why,
                  "its pickle asks for '%s', which would run code; only tensors, numbers and text "
                  "are read",
                  base_escape(v->text, strlen(v->text)));
    return false;
}

static bool take_line(machine *m, const char **text, size_t *length) {
    const uint8_t *begin = m->data + m->at, *end = memchr(begin, '\n', m->size - m->at);
    if (!end) return damaged(m);
    *text = (const char *)begin;
    *length = (size_t)(end - begin);
    m->at += *length + 1;
    return true;
}

static bool global(machine *m) {
    const char *module, *name;
    size_t n, k;
    return take_line(m, &module, &n) && take_line(m, &name, &k) && push_name(m, module, n, name, k);
}

static bool stack_global(machine *m) {
    pickle_value *name = pop(m), *module = name ? pop(m) : NULL;
    if (!module || name->kind != PICKLE_TEXT || module->kind != PICKLE_TEXT) return damaged(m);
    return push_name(m, module->text, strlen(module->text), name->text, strlen(name->text));
}

static bool set_item(machine *m, pickle_value *dict, pickle_value *key, pickle_value *value) {
    if (dict->kind != PICKLE_DICT) return damaged(m);
    BASE_PUSH(&dict->items, key);
    BASE_PUSH(&dict->items, value);
    return true;
}

/* OrderedDict() or OrderedDict([(key, value), ...]) */
static bool ordered_dict(machine *m, const pickle_value *arguments) {
    pickle_value *dict = new_value(m, PICKLE_DICT);
    if (arguments->items.count > 1) return damaged(m);
    if (arguments->items.count) {
        const pickle_value *pairs = arguments->items.items[0];
        if (pairs->kind != PICKLE_LIST) return damaged(m);
        if (!may_copy(m, 2 * pairs->items.count)) return false;
        for (size_t i = 0; i < pairs->items.count; i++) {
            const pickle_value *pair = pairs->items.items[i];
            if ((pair->kind != PICKLE_TUPLE && pair->kind != PICKLE_LIST) || pair->items.count != 2)
                return damaged(m);
            set_item(m, dict, pair->items.items[0], pair->items.items[1]);
        }
    }
    return push(m, dict);
}

static bool tensor(machine *m, const pickle_value *arguments, size_t least) {
    static const pickle_kind kinds[] = {PICKLE_STORAGE, PICKLE_INT, PICKLE_TUPLE, PICKLE_TUPLE};
    if (arguments->items.count < least) return damaged(m);
    pickle_value *v = new_value(m, PICKLE_TENSOR);
    for (size_t i = 0; i < 4; i++) {
        if (arguments->items.items[i]->kind != kinds[i]) return damaged(m);
        BASE_PUSH(&v->items, arguments->items.items[i]);
    }
    return push(m, v);
}

static bool reduce(machine *m) {
    pickle_value *arguments = pop(m), *callable = arguments ? pop(m) : NULL;
    if (!callable || callable->kind != PICKLE_NAME || arguments->kind != PICKLE_TUPLE)
        return damaged(m);
    const char *name = callable->text;
    if (strcmp(name, "collections.OrderedDict") == 0) return ordered_dict(m, arguments);
    if (strcmp(name, "torch._utils._rebuild_tensor") == 0) return tensor(m, arguments, 4);
    if (strcmp(name, "torch._utils._rebuild_tensor_v2") == 0) return tensor(m, arguments, 5);
    pickle_value *first = arguments->items.count ? arguments->items.items[0] : NULL;
    if (strcmp(name, "torch.Size") == 0 && first &&
        (first->kind == PICKLE_TUPLE || first->kind == PICKLE_LIST))
        return push_tuple(m, first->items.items, first->items.count);
    if (strcmp(name, "torch._utils._rebuild_parameter") == 0 && first &&
        first->kind == PICKLE_TENSOR)
        return push(m, first);
    return damaged(m);
}

/* ("storage", type, key, place, number of elements) */
static bool persistent(machine *m) {
    pickle_value *id = pop(m);
    bool fine = id && id->kind == PICKLE_TUPLE && id->items.count >= 5 &&
                id->items.items[0]->kind == PICKLE_TEXT &&
                strcmp(id->items.items[0]->text, "storage") == 0 &&
                id->items.items[1]->kind == PICKLE_NAME &&
                id->items.items[2]->kind == PICKLE_TEXT && id->items.items[4]->kind == PICKLE_INT;
    if (!fine || !is_one_of(id->items.items[1]->text, storages, sizeof storages / sizeof *storages))
        return damaged(m);
    pickle_value *v = new_value(m, PICKLE_STORAGE);
    for (size_t i = 0; i < 5; i++) BASE_PUSH(&v->items, id->items.items[i]);
    return push(m, v);
}

/* ---- containers and the memo ---- */

static bool append_items(machine *m, bool many) {
    pickle_value **items, *one = NULL;
    size_t count = 1;
    if (many && !pop_mark(m, &items, &count)) return false;
    if (!many) {
        one = pop(m);
        if (!one) return false;
        items = &one;
    }
    pickle_value *list = top(m);
    if (!list || list->kind != PICKLE_LIST) return damaged(m);
    for (size_t i = 0; i < count; i++) BASE_PUSH(&list->items, items[i]);
    return true;
}

static bool set_items(machine *m, bool many) {
    pickle_value **items, *pair[2];
    size_t count = 2;
    if (many && !pop_mark(m, &items, &count)) return false;
    if (!many) {
        pair[1] = pop(m);
        pair[0] = pair[1] ? pop(m) : NULL;
        if (!pair[0]) return false;
        items = pair;
    }
    pickle_value *dict = top(m);
    if (!dict || count % 2) return damaged(m);
    for (size_t i = 0; i < count; i += 2)
        if (!set_item(m, dict, items[i], items[i + 1])) return false;
    return true;
}

static bool put(machine *m, uint64_t index) {
    pickle_value *v = top(m);
    if (!v || index >= MOST_MEMO) return damaged(m);
    while (m->memo.count <= index) BASE_PUSH(&m->memo, NULL);
    m->memo.items[index] = v;
    return true;
}

static bool get(machine *m, uint64_t index) {
    if (index >= m->memo.count || !m->memo.items[index]) return damaged(m);
    return push(m, m->memo.items[index]);
}

/* An integer of up to eight bytes; longer ones are nothing a tensor needs. */
static bool long_int(machine *m) {
    uint64_t length, n = 0;
    if (!take_number(m, 1, &length) || length > 8 || !take_number(m, (unsigned)length, &n))
        return damaged(m);
    if (length && length < 8 && n >> (8 * length - 1)) n |= UINT64_MAX << 8 * length;
    return push_int(m, PICKLE_INT, (int64_t)n);
}

/* The state that BUILD gives an object: of dictionaries and tensors it says nothing that is needed.
 * */
static bool build_state(machine *m) {
    pickle_value *state = pop(m);
    return state && top(m);
}

/* ---- opcodes ---- */

/* Those with a number behind them. */
static bool with_number(machine *m, int op, bool *known) {
    static const struct {
        int op;
        unsigned bytes;
    } table[] = {{'K', 1}, {'M', 2}, {'J', 4}, {'q', 1},  {'r', 4},  {'h', 1},  {'j', 4},
                 {'X', 4}, {'T', 4}, {'U', 1}, {0x8c, 1}, {0x8d, 8}, {0x80, 1}, {0x95, 8}};
    uint64_t n;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].op != op) continue;
        if (!take_number(m, table[i].bytes, &n)) return false;
        switch (op) {
        case 'K':
        case 'M': return push_int(m, PICKLE_INT, (int64_t)n);
        case 'J': return push_int(m, PICKLE_INT, (int32_t)(uint32_t)n);
        case 'q':
        case 'r': return put(m, n);
        case 'h':
        case 'j': return get(m, n);
        case 0x80: return n <= 5 || damaged(m);
        case 0x95: return true; /* FRAME */
        default: return push_text(m, n);
        }
    }
    *known = false;
    return true;
}

static bool without_number(machine *m, int op, bool *known) {
    const uint8_t *bytes;
    pickle_value **items, *v;
    size_t count;
    switch (op) {
    case '}': return push(m, new_value(m, PICKLE_DICT));
    case ']': return push(m, new_value(m, PICKLE_LIST));
    case ')': return push_tuple(m, NULL, 0);
    case 'N': return push(m, new_value(m, PICKLE_NONE));
    case 0x88: return push_int(m, PICKLE_BOOL, 1);
    case 0x89: return push_int(m, PICKLE_BOOL, 0);
    case 0x8a: return long_int(m);
    case 'G': return take(m, 8, &bytes) && push(m, new_value(m, PICKLE_FLOAT));
    case '(': BASE_PUSH(&m->marks, m->stack.count); return true;
    case 't': return pop_mark(m, &items, &count) && push_tuple(m, items, count);
    case 0x85: return small_tuple(m, 1);
    case 0x86: return small_tuple(m, 2);
    case 0x87: return small_tuple(m, 3);
    case 0x94: return put(m, m->memo.count);
    case 'a': return append_items(m, false);
    case 'e': return append_items(m, true);
    case 's': return set_items(m, false);
    case 'u': return set_items(m, true);
    case 'c': return global(m);
    case 0x93: return stack_global(m);
    case 'R': return reduce(m);
    case 'b': return build_state(m);
    case 'Q': return persistent(m);
    case '0': return pop(m) != NULL;
    case '1': return pop_mark(m, &items, &count);
    case '2': v = top(m); return v && push(m, v);
    }
    *known = false;
    return true;
}

static bool run(machine *m, pickle_value **root) {
    for (;;) {
        const uint8_t *op;
        bool known = true;
        if (!take(m, 1, &op)) return false;
        if (*op == '.') break;
        if (!with_number(m, *op, &known)) return false;
        if (known) continue;
        known = true;
        if (!without_number(m, *op, &known)) return false;
        if (known) continue;
        base_str_addf(m->why, "its pickle has the opcode 0x%02x, which no file of tensors needs",
                      *op);
        return false;
    }
    *root = m->marks.count ? NULL : pop(m);
    return *root || damaged(m);
}

bool pickle_read(pickle *p, const uint8_t *data, size_t size, pickle_value **root, base_str *why) {
    *p = (pickle){.arena = base_arena_new()};
    machine m = {.p = p, .data = data, .size = size, .why = why};
    bool fine = run(&m, root);
    if (!fine) fault(&m, "its pickle is damaged");
    base_free(m.stack.items);
    base_free(m.marks.items);
    base_free(m.memo.items);
    return fine;
}

void pickle_free(pickle *p) {
    for (size_t i = 0; i < p->values.count; i++) base_free(p->values.items[i]->items.items);
    base_free(p->values.items);
    base_arena_free(p->arena);
    *p = (pickle){0};
}
