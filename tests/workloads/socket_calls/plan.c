// Makes a plan from a seed.
#define _GNU_SOURCE
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What bodies are made of: they look like messages, so that a reader that has lost its place would see ghosts.
static const char *const GHOSTS[] = {
    "GET /ghost HTTP/1.1\r\nHost: ghost\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "POST /ghost HTTP/1.1\r\nHost: ghost\r\nContent-Length: 5\r\n\r\nghost",
};

uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static void append(struct plan *plan, enum side sender, const void *bytes, size_t count)
{
    char *grown = realloc(plan->stream[sender], plan->length[sender] + count + 1);
    if (!grown) abort();
    memcpy(grown + plan->length[sender], bytes, count);
    plan->stream[sender] = grown;
    plan->length[sender] += count;
    grown[plan->length[sender]] = 0;
}

static void append_text(struct plan *plan, enum side sender, const char *text)
{
    append(plan, sender, text, strlen(text));
}

static char *make_body(size_t count, uint64_t *random)
{
    char *body = malloc(count + 1);
    if (!body) abort();
    const char *ghost = percent(random, 60) ? GHOSTS[below(random, 3)] : NULL;
    size_t period = ghost ? strlen(ghost) : 0;
    for (size_t i = 0; i < count; i++) body[i] = ghost ? ghost[i % period] : (char)('a' + below(random, 26));
    return body;
}

static size_t body_size(bool small, uint64_t *random)
{
    unsigned kind = below(random, 100);
    if (small || kind < 30) return below(random, 120);
    if (kind < 70) return below(random, 2000);
    if (kind < 90) return below(random, 20000);
    return below(random, 150000);
}

// Appends one message: its first line is given, its body by the framing.
static struct message add_message(struct plan *plan, enum side sender, const char *first_line, enum framing framing,
                                  bool bodiless, bool small, uint64_t *random)
{
    struct message message = {.start = plan->length[sender], .framing = framing};
    size_t body = framing == NO_BODY ? 0 : body_size(small, random);
    char line[128];
    append_text(plan, sender, first_line);
    // Field values of any length, so that heads end anywhere in calls.
    size_t fill = below(random, 100) < 95 || small ? below(random, 300) : below(random, 12000);
    append_text(plan, sender, "X-Fill: ");
    for (size_t i = 0; i < fill; i++) append(plan, sender, "f", 1);
    append_text(plan, sender, "\r\n");
    if (framing == LENGTH) {
        snprintf(line, sizeof line, "Content-Length: %zu\r\n", body);
        append_text(plan, sender, line);
    } else if (framing == CHUNKED) {
        append_text(plan, sender, "Transfer-Encoding: chunked\r\n");
    } else if (framing == BY_CLOSE) {
        append_text(plan, sender, "Connection: close\r\n");
    }
    append_text(plan, sender, "\r\n");
    message.head_end = plan->length[sender];
    // The answer to HEAD says how long its body would be, and has none.
    if (bodiless) body = 0;
    message.body = body;
    char *bytes = make_body(body, random);
    if (framing == CHUNKED && !bodiless) {
        for (size_t at = 0; at < body;) {
            size_t size = 1 + below(random, body - at);
            snprintf(line, sizeof line, "%zx\r\n", size);
            append_text(plan, sender, line);
            append(plan, sender, bytes + at, size);
            append_text(plan, sender, "\r\n");
            at += size;
        }
        append_text(plan, sender, "0\r\n\r\n");
    } else {
        append(plan, sender, bytes, body);
    }
    free(bytes);
    message.end = plan->length[sender];
    return message;
}

static void add_exchange(struct plan *plan, bool small, bool last, uint64_t *random)
{
    static const char *const METHODS[] = {"GET", "GET", "HEAD", "POST", "PUT", "DELETE"};
    static const int STATUSES[] = {200, 200, 200, 201, 204, 304, 404, 500};
    struct exchange *exchange = &plan->exchanges[plan->count];
    exchange->method = METHODS[below(random, 6)];
    exchange->status = STATUSES[below(random, 8)];
    char line[128];

    bool sends = exchange->method[0] == 'P';
    enum framing request = !sends ? NO_BODY : percent(random, 60) ? LENGTH : CHUNKED;
    snprintf(line, sizeof line, "%s /s/%llu/%d HTTP/1.1\r\nHost: random\r\n", exchange->method,
             (unsigned long long)plan->seed, plan->count);
    exchange->message[CLIENT] = add_message(plan, CLIENT, line, request, false, small, random);

    bool never = exchange->status == 204 || exchange->status == 304;
    bool head = !strcmp(exchange->method, "HEAD");
    enum framing answer = never                              ? NO_BODY
                          : last && percent(random, 30)      ? BY_CLOSE
                          : percent(random, 60)              ? LENGTH
                                                             : CHUNKED;
    snprintf(line, sizeof line, "HTTP/1.1 %d Said\r\n", exchange->status);
    exchange->message[SERVER] = add_message(plan, SERVER, line, answer, head, small, random);
    plan->count++;
}

struct plan *plan_make(uint64_t seed)
{
    struct plan *plan = calloc(1, sizeof *plan);
    if (!plan) abort();
    uint64_t random = seed * 0x2545f4914f6cdd1d;
    plan->seed = seed;
    plan->transport = below(&random, TRANSPORTS);
    unsigned hiding = below(&random, 100);
    plan->hiding = hiding < 60 ? NOTHING : hiding < 80 ? BODIES_OF_KNOWN_LENGTH : ANYTHING;
    plan->threads = percent(&random, 30);
    plan->nonblocking = percent(&random, 30);
    plan->small_buffers = percent(&random, 25);
    plan->half_close = percent(&random, 30);
    plan->passes[CLIENT] = percent(&random, 25);
    plan->passes[SERVER] = percent(&random, 25);
    int wanted = 1 + below(&random, 6);
    while (plan->groups < wanted) {
        int together = percent(&random, 75) ? 1 : 2 + below(&random, 2);
        if (plan->count + together > MAX_EXCHANGES) break;
        for (int i = 0; i < together; i++) {
            bool last = plan->groups == wanted - 1 && i == together - 1;
            add_exchange(plan, together > 1, last, &random);
        }
        plan->group_end[plan->groups++] = plan->count;
    }
    // Pipelining into minimal buffers is a deadlock: both sides wait for the other to read.
    if (plan->groups < plan->count) plan->small_buffers = false;
    return plan;
}

void plan_free(struct plan *plan)
{
    free(plan->stream[CLIENT]);
    free(plan->stream[SERVER]);
    free(plan);
}

bool plan_may_hide(const struct plan *plan, enum side sender, size_t from, size_t to)
{
    if (plan->hiding != BODIES_OF_KNOWN_LENGTH) return plan->hiding == ANYTHING;
    for (int i = 0; i < plan->count; i++) {
        const struct message *message = &plan->exchanges[i].message[sender];
        if (message->framing == LENGTH && message->head_end <= from && to <= message->end) return true;
    }
    return false;
}

size_t plan_cut(const struct plan *plan, enum side sender, size_t from, size_t to, uint64_t *random)
{
    const char *stream = plan->stream[sender];
    unsigned kind = below(random, 100);
    if (kind < 25 || to - from == 1) return to;
    if (kind < 35) return from + 1 + below(random, to - from < 10 ? to - from : 10);
    if (kind < 50) { // at the end of a head
        for (int i = 0; i < plan->count; i++) {
            size_t end = plan->exchanges[i].message[sender].head_end;
            if (from < end && end <= to) return end;
        }
    }
    if (kind < 75) { // where a ghost begins
        const char *ghost = memmem(stream + from + 1, to - from - 1, "GET /ghost", 10);
        if (!ghost) ghost = memmem(stream + from + 1, to - from - 1, "HTTP/1.1 200 OK", 15);
        if (ghost) return ghost - stream;
    }
    return from + 1 + below(random, to - from);
}
