/* The vector of ONE text by a BERT encoder with int8 weights, on one thread (AVX-512 VNNI).

   It computes what the int8 ONNX graph computes (see bert_graph.py), from that graph's weights,
   without the passing from operator to operator and between threads, which costs a short question
   there as much again. Nothing is global: `model` is only read, and each call brings its own
   workspace, so calls may run side by side, and a text's vector is always the same, bit by bit.

   kernel.py compiles it with the model's sizes as WORDS, TOKENS (at most), HIDDEN, HEADS, INNER and
   LAYERS, and keeps `struct model` in a file that is mapped into memory. */
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum {
    LANES = 16, /* floats or int32 in a register */
    BLOCK = 64, /* columns of a product made at once: four registers of weights ... */
    ROWS = 6,   /* ... times six tokens are 24 of the 32 registers for sums */
    WIDTH = HIDDEN / HEADS,
    PADDED = (TOKENS + LANES - 1) / LANES * LANES
};
_Static_assert(HIDDEN % BLOCK == 0 && INNER % BLOCK == 0, "columns are taken by the block");
_Static_assert(HIDDEN % HEADS == 0 && WIDTH % LANES == 0, "a head's columns by the register");

/* x @ W.T + bias. `weights` are packed [outputs / BLOCK][inputs / 4][BLOCK][4]: one dpbusd takes
   four neighbouring inputs of 16 outputs, and a block is read from end to end. `sums` are those of
   each output's weights; what an output is worth is its integer times its scale. */
#define LINEAR(OUTPUTS, INPUTS)                                                                    \
    struct {                                                                                       \
        int8_t weights[(OUTPUTS) * (INPUTS)];                                                      \
        float scales[OUTPUTS], bias[OUTPUTS];                                                      \
        int32_t sums[OUTPUTS];                                                                     \
    }

struct norm {
    float gain[HIDDEN], bias[HIDDEN];
};

/* Each member's size is a multiple of 64 bytes: nothing stands between two, and all are aligned. */
struct model {
    struct layer {
        LINEAR(3 * HIDDEN, HIDDEN) projected; /* queries, keys and values side by side */
        LINEAR(HIDDEN, HIDDEN) attended;
        struct norm attended_norm;
        LINEAR(INNER, HIDDEN) widened;
        LINEAR(HIDDEN, INNER) narrowed;
        struct norm narrowed_norm;
    } layers[LAYERS];
    struct norm embedded_norm;
    float positions[TOKENS][HIDDEN]; /* the one segment's embedding added */
    uint8_t words[WORDS][HIDDEN];    /* of value word_scale * (word - word_zero) */
    float word_scale, word_zero, epsilon, unused[LANES - 3];
};

/* Activations as unsigned bytes, of value scale * (byte - zero): dpbusd multiplies unsigned by
   signed bytes. sum((byte - zero) * weight) is sum(byte * weight) - zero * sum(weight). */
struct quantised {
    uint8_t bytes[TOKENS * (INNER > HIDDEN ? INNER : HIDDEN)];
    float scale;
    int32_t zero;
};

/* What one call needs at a time. */
struct workspace {
    float hidden[TOKENS * HIDDEN], projected[TOKENS * 3 * HIDDEN], attended[TOKENS * HIDDEN];
    float widened[TOKENS * INNER], keys[WIDTH * PADDED], scores[PADDED];
    struct quantised quantised;
};

const int64_t model_size = sizeof(struct model), workspace_size = sizeof(struct workspace);

/* One scale for all tokens, as ONNX's DynamicQuantizeLinear: the range of the values and 0 in 255
   steps. */
static void quantise(const float *values, int count, struct quantised *to) {
    __m512 low = _mm512_setzero_ps(), high = low;
    for (int i = 0; i < count; i += LANES) {
        __m512 value = _mm512_loadu_ps(values + i);
        low = _mm512_min_ps(low, value);
        high = _mm512_max_ps(high, value);
    }
    float least = _mm512_reduce_min_ps(low), range = _mm512_reduce_max_ps(high) - least;
    to->scale = range > 0 ? range / 255 : 1;
    to->zero = (int32_t)nearbyintf(-least / to->scale);
    __m512 factor = _mm512_set1_ps(1 / to->scale);
    __m512i zero = _mm512_set1_epi32(to->zero), none = _mm512_setzero_si512();
    for (int i = 0; i < count; i += LANES) {
        __m512i step = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(values + i), factor));
        step = _mm512_max_epi32(_mm512_add_epi32(step, zero), none);
        _mm_storeu_si128((__m128i *)(to->bytes + i), _mm512_cvtusepi32_epi8(step));
    }
}

/* e^x for x <= 0: 2^n e^r, |r| <= ln(2) / 2, with the polynomial of Cephes' expf (Moshier) for e^r.
   ln(2) is taken off in two parts, of which the first is exact. */
ALWAYS_INLINE __m512 exponential(__m512 x) {
    x = _mm512_max_ps(x, _mm512_set1_ps(-87));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_fmadd_ps(_mm512_mul_ps(p, r), r, _mm512_add_ps(r, _mm512_set1_ps(1)));
    return _mm512_scalef_ps(p, n);
}

/* x / 2 * (1 + erf(x / sqrt(2))); erf within 1.5e-7 by Abramowitz and Stegun 7.1.26, of |x| since
   erf is odd. */
ALWAYS_INLINE __m512 gelu(__m512 x) {
    __m512 one = _mm512_set1_ps(1);
    __m512 z = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.70710678f));
    __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(z, _mm512_set1_ps(0.3275911f), one));
    __m512 p = _mm512_set1_ps(1.061405429f);
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-1.453152027f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(1.421413741f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0.284496736f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.254829592f));
    __m512 fall = exponential(_mm512_fnmadd_ps(z, z, _mm512_setzero_ps()));
    __m512 erf = _mm512_fnmadd_ps(_mm512_mul_ps(p, t), fall, one);
    __m512 half = _mm512_mul_ps(x, _mm512_set1_ps(0.5f));
    return _mm512_fmadd_ps(_mm512_abs_ps(half), erf, half);
}

/* A product without its sizes; `ADDED` onto what stands in `to`. */
enum after { AS_IT_IS, ACTIVATED, ADDED };
struct product {
    const int8_t *weights;
    const float *scales, *bias;
    const int32_t *sums;
    const struct quantised *from;
    float *to;
};

/* BLOCK columns for `rows` tokens. All but `product`, `column` and `row` are constants where this is
   called, so that the sums stay in registers. */
ALWAYS_INLINE void tile(int rows, enum after after, int inputs, int outputs,
                        const struct product *product, int column, int row) {
    const int8_t *weights = product->weights + column * inputs;
    const uint8_t *bytes = product->from->bytes + row * inputs;
    __m512i sums[ROWS][4];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
        sums[r][0] = sums[r][1] = sums[r][2] = sums[r][3] = _mm512_setzero_si512();
    for (int k = 0; k < inputs; k += 4, weights += 4 * BLOCK) {
        __m512i w0 = _mm512_load_si512(weights), w1 = _mm512_load_si512(weights + BLOCK);
        __m512i w2 = _mm512_load_si512(weights + 2 * BLOCK);
        __m512i w3 = _mm512_load_si512(weights + 3 * BLOCK);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, bytes + r * inputs + k, sizeof four);
            __m512i inputs4 = _mm512_set1_epi32(four);
            sums[r][0] = _mm512_dpbusd_epi32(sums[r][0], inputs4, w0);
            sums[r][1] = _mm512_dpbusd_epi32(sums[r][1], inputs4, w1);
            sums[r][2] = _mm512_dpbusd_epi32(sums[r][2], inputs4, w2);
            sums[r][3] = _mm512_dpbusd_epi32(sums[r][3], inputs4, w3);
            /* Each sum stays where it is: else GCC 12 moves them about, at half the speed. */
            __asm__("" : "+v"(sums[r][0]), "+v"(sums[r][1]), "+v"(sums[r][2]), "+v"(sums[r][3]));
        }
    }
    __m512i zero = _mm512_set1_epi32(product->from->zero);
    __m512 scale = _mm512_set1_ps(product->from->scale);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        int at = column + j * LANES;
        __m512i shift = _mm512_mullo_epi32(zero, _mm512_loadu_si512(product->sums + at));
        __m512 scales = _mm512_mul_ps(scale, _mm512_loadu_ps(product->scales + at));
        __m512 bias = _mm512_loadu_ps(product->bias + at);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            float *place = product->to + (row + r) * outputs + at;
            __m512 sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums[r][j], shift));
            __m512 value = _mm512_fmadd_ps(sum, scales, bias);
            if (after == ACTIVATED)
                value = gelu(value);
            if (after == ADDED)
                value = _mm512_add_ps(value, _mm512_loadu_ps(place));
            _mm512_storeu_ps(place, value);
        }
    }
}

/* The tokens in tiles of heights as equal as can be, since one of a single row would read all the
   weights for it; column by column, so that the later tiles find the block in the cache. */
ALWAYS_INLINE void multiply(int tokens, enum after after, int inputs, int outputs,
                            struct product product) {
    for (int column = 0; column < outputs; column += BLOCK)
        for (int row = 0, rows, left = (tokens + ROWS - 1) / ROWS; left; left--, row += rows) {
            rows = (tokens - row + left - 1) / left;
            switch (rows) {
            case 1: tile(1, after, inputs, outputs, &product, column, row); break;
            case 2: tile(2, after, inputs, outputs, &product, column, row); break;
            case 3: tile(3, after, inputs, outputs, &product, column, row); break;
            case 4: tile(4, after, inputs, outputs, &product, column, row); break;
            case 5: tile(5, after, inputs, outputs, &product, column, row); break;
            default: tile(6, after, inputs, outputs, &product, column, row);
            }
        }
}

static void normalise(float *values, int tokens, const struct norm *by, float epsilon) {
    for (float *row = values; row < values + tokens * HIDDEN; row += HIDDEN) {
        __m512 sum = _mm512_setzero_ps(), squares = sum;
        for (int k = 0; k < HIDDEN; k += LANES)
            sum = _mm512_add_ps(sum, _mm512_loadu_ps(row + k));
        __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / HIDDEN);
        for (int k = 0; k < HIDDEN; k += LANES) {
            __m512 centred = _mm512_sub_ps(_mm512_loadu_ps(row + k), mean);
            squares = _mm512_fmadd_ps(centred, centred, squares);
        }
        float variance = _mm512_reduce_add_ps(squares) / HIDDEN;
        __m512 factor = _mm512_set1_ps(1 / sqrtf(variance + epsilon));
        for (int k = 0; k < HIDDEN; k += LANES) {
            __m512 centred = _mm512_sub_ps(_mm512_loadu_ps(row + k), mean);
            __m512 gain = _mm512_mul_ps(factor, _mm512_loadu_ps(by->gain + k));
            __m512 value = _mm512_fmadd_ps(centred, gain, _mm512_loadu_ps(by->bias + k));
            _mm512_storeu_ps(row + k, value);
        }
    }
}

/* softmax(Q K.T / sqrt(WIDTH)) V, head by head. The head's keys are transposed first, so that a
   register holds a query's scores of 16 keys; what stands behind the last key weighs nothing. */
static void attend(struct workspace *at, int tokens) {
    int padded = (tokens + LANES - 1) / LANES * LANES;
    float *keys = at->keys, *scores = at->scores;
    __m512 factor = _mm512_set1_ps(1 / sqrtf(WIDTH)), nothing = _mm512_set1_ps(-INFINITY);
    for (int head = 0; head < HIDDEN; head += WIDTH) {
        const float *queries = at->projected + head;
        const float *values = queries + 2 * HIDDEN;
        for (int d = 0; d < WIDTH; d++)
            for (int j = 0; j < padded; j++)
                keys[d * padded + j] = j < tokens ? queries[j * 3 * HIDDEN + HIDDEN + d] : 0;
        for (int i = 0; i < tokens; i++) {
            const float *query = queries + i * 3 * HIDDEN;
            __m512 most = nothing, sum = _mm512_setzero_ps();
            for (int j = 0; j < padded; j += LANES) {
                __m512 even = _mm512_setzero_ps(), odd = even;
                for (int d = 0; d < WIDTH; d += 2) {
                    const float *key = keys + d * padded + j;
                    even = _mm512_fmadd_ps(_mm512_set1_ps(query[d]), _mm512_loadu_ps(key), even);
                    odd = _mm512_fmadd_ps(_mm512_set1_ps(query[d + 1]),
                                          _mm512_loadu_ps(key + padded), odd);
                }
                __m512 score = _mm512_mul_ps(_mm512_add_ps(even, odd), factor);
                if (j + LANES > tokens)
                    score =
                        _mm512_mask_mov_ps(nothing, (__mmask16)((1u << (tokens - j)) - 1), score);
                _mm512_storeu_ps(scores + j, score);
                most = _mm512_max_ps(most, score);
            }
            most = _mm512_set1_ps(_mm512_reduce_max_ps(most));
            for (int j = 0; j < padded; j += LANES) {
                __m512 weight = exponential(_mm512_sub_ps(_mm512_loadu_ps(scores + j), most));
                _mm512_storeu_ps(scores + j, weight);
                sum = _mm512_add_ps(sum, weight);
            }
            __m512 share = _mm512_set1_ps(1 / _mm512_reduce_add_ps(sum));
            for (int d = 0; d < WIDTH; d += LANES) {
                __m512 value = _mm512_setzero_ps();
                for (int j = 0; j < tokens; j++)
                    value = _mm512_fmadd_ps(_mm512_set1_ps(scores[j]),
                                            _mm512_loadu_ps(values + j * 3 * HIDDEN + d), value);
                _mm512_storeu_ps(at->attended + i * HIDDEN + head + d, _mm512_mul_ps(value, share));
            }
        }
    }
}

static void embed(const struct model *model, const int32_t *ids, int tokens, float *to) {
    __m512 scale = _mm512_set1_ps(model->word_scale), zero = _mm512_set1_ps(model->word_zero);
    for (int i = 0; i < tokens; i++, to += HIDDEN)
        for (int k = 0; k < HIDDEN; k += LANES) {
            __m128i word = _mm_loadu_si128((const __m128i *)(model->words[ids[i]] + k));
            __m512 value = _mm512_sub_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(word)), zero);
            __m512 position = _mm512_loadu_ps(model->positions[i] + k);
            _mm512_storeu_ps(to + k, _mm512_fmadd_ps(value, scale, position));
        }
}

/* The sum over the tokens at length 1: so would the mean be. */
static void pool(const float *hidden, int tokens, float *vector) {
    __m512 squares = _mm512_setzero_ps();
    for (int k = 0; k < HIDDEN; k += LANES) {
        __m512 sum = _mm512_setzero_ps();
        for (int i = 0; i < tokens; i++)
            sum = _mm512_add_ps(sum, _mm512_loadu_ps(hidden + i * HIDDEN + k));
        _mm512_storeu_ps(vector + k, sum);
        squares = _mm512_fmadd_ps(sum, sum, squares);
    }
    __m512 factor = _mm512_set1_ps(1 / sqrtf(_mm512_reduce_add_ps(squares)));
    for (int k = 0; k < HIDDEN; k += LANES)
        _mm512_storeu_ps(vector + k, _mm512_mul_ps(_mm512_loadu_ps(vector + k), factor));
}

#define MULTIPLY(after, outputs, inputs, linear, to)                                               \
    multiply(tokens, after, inputs, outputs,                                                       \
             (struct product){(linear).weights, (linear).scales, (linear).bias, (linear).sums,     \
                              &at->quantised, to})

/* `ids`: `tokens` of them, 1 to TOKENS, each below WORDS; `at` stands on 64 bytes. `vector`:
   [HIDDEN]. */
void encode(const struct model *model, struct workspace *at, const int32_t *ids, int tokens,
            float *vector) {
    embed(model, ids, tokens, at->hidden);
    normalise(at->hidden, tokens, &model->embedded_norm, model->epsilon);
    for (const struct layer *layer = model->layers; layer < model->layers + LAYERS; layer++) {
        quantise(at->hidden, tokens * HIDDEN, &at->quantised);
        MULTIPLY(AS_IT_IS, 3 * HIDDEN, HIDDEN, layer->projected, at->projected);
        attend(at, tokens);
        quantise(at->attended, tokens * HIDDEN, &at->quantised);
        MULTIPLY(ADDED, HIDDEN, HIDDEN, layer->attended, at->hidden);
        normalise(at->hidden, tokens, &layer->attended_norm, model->epsilon);
        quantise(at->hidden, tokens * HIDDEN, &at->quantised);
        MULTIPLY(ACTIVATED, INNER, HIDDEN, layer->widened, at->widened);
        quantise(at->widened, tokens * INNER, &at->quantised);
        MULTIPLY(ADDED, HIDDEN, INNER, layer->narrowed, at->hidden);
        normalise(at->hidden, tokens, &layer->narrowed_norm, model->epsilon);
    }
    pool(at->hidden, tokens, vector);
}
