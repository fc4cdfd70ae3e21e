// What one seed means: the connection, the exchanges on it, and every byte of both directions, known to all sides
// before the first call is made.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_EXCHANGES = 12, MAX_GROUPS = MAX_EXCHANGES };

enum transport { TCP4, TCP6, UNIX_PATH, UNIX_PAIR, TRANSPORTS };

// A direction is named by who sends in it.
enum side { CLIENT, SERVER };

enum framing { NO_BODY, LENGTH, CHUNKED, BY_CLOSE };

// Which stretches may be moved by calls whose bytes never are in the caller's memory.
enum hiding { NOTHING, BODIES_OF_KNOWN_LENGTH, ANYTHING };

// One message: positions in its direction's stream.
struct message {
    size_t start, head_end, end;
    size_t body; // without framing
    enum framing framing;
};

struct exchange {
    const char *method;
    int status;
    struct message message[2]; // the request by CLIENT, the answer by SERVER
};

struct plan {
    uint64_t seed;
    enum transport transport;
    enum hiding hiding;
    bool threads;       // all sides in one process, instead of a process each
    bool nonblocking;   // the sockets are O_NONBLOCK
    bool small_buffers; // SO_SNDBUF and SO_RCVBUF at their minimum: partial writes
    bool half_close;    // the client shuts its direction down after its last request
    bool passes[2];     // that side hands the connection to another process on the way
    int groups;         // pipelined exchanges form a group
    int group_end[MAX_GROUPS]; // number of the exchange behind the group's last
    int count;
    struct exchange exchanges[MAX_EXCHANGES];
    char *stream[2];
    size_t length[2];
};

struct plan *plan_make(uint64_t seed);
void plan_free(struct plan *plan);

// Whether [from, to) of that direction may be moved by a hiding form.
bool plan_may_hide(const struct plan *plan, enum side sender, size_t from, size_t to);

// Where to end a call that begins at `from` and may move at most up to `to`: often at a place that matters.
size_t plan_cut(const struct plan *plan, enum side sender, size_t from, size_t to, uint64_t *random);

// The next number of a seeded sequence (SplitMix64).
uint64_t next_random(uint64_t *state);

// A number below n.
static inline size_t below(uint64_t *state, size_t n) { return n ? next_random(state) % n : 0; }

// True so many times in a hundred.
static inline bool percent(uint64_t *state, unsigned chance) { return next_random(state) % 100 < chance; }
