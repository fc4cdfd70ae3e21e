// The forms of calls that move bytes, and the record of those whose bytes nobody can see.
#pragma once

#include <sys/types.h>

#include "plan.h"

enum { MAX_HIDDEN = 512 };

// A stretch that one side moved by a hiding form.
struct hidden {
    size_t from, to;
    const char *form;
    enum side by, sender;
};

// What all sides write to and the parent reads: shared memory.
struct record {
    int count; // atomically counted
    struct hidden hidden[MAX_HIDDEN];
};

// One side's place in the exchange; it travels with the descriptor when the connection is handed on.
struct state {
    enum side side;
    size_t written, consumed;
    uint64_t random;
};

// One side at work.
struct worker {
    const struct plan *plan;
    struct record *record;
    struct state state;
    int fd;
    int memory; // file with the bytes this side sends, for sendfile and splice
};

// Makes one call that sends some of [written, to), and counts what was sent.
void send_some(struct worker *worker, size_t to);

// Makes one call that receives some of [consumed, may), where [consumed, must) is sure to come.
void receive_some(struct worker *worker, size_t must, size_t may);

// Receives the peer's end of stream.
void receive_end(struct worker *worker);

// Runs a side to its end, from wherever its state says it is. With `heir`, the side may hand the connection over that
// socket to somebody else.
void run_side(struct worker *worker, int heir);

// Waits for a connection to be handed on, and runs it.
void run_heir(struct worker *worker, int from);

void hide(struct worker *worker, enum side sender, size_t from, size_t to, const char *form);
void wait_for(int fd, short events);
_Noreturn void fail(const struct worker *worker, const char *what);
