/* pynetop.h: a NetFD, and the operations on one. */
#ifndef GOPY_PYNETOP_H
#define GOPY_PYNETOP_H

#include "pyop.h"

/* A socket whose calls park the goroutine: pynetfd.c. */
typedef struct {
    PyObject_HEAD
    int fd; /* as long as the polldesc has seq */
    uint32_t seq;
    bool opened;
    uint8_t tcp;    /* 1: it is, 2: it is not, 0: nobody has asked */
    PyObject *peer; /* bytes, the address that accept() got, or NULL */
    /* bytes that a cancelled read_full() had got, or NULL; whoever has the reading side's */
    PyObject *unread;
    PyObject *weakrefs;
} NetFD;

/* One call on it, in steps: step() makes the system call and says DONE, AGAIN, FAILED with errno set, or RAISED. */
enum step { DONE, AGAIN, FAILED, RAISED };

struct netop {
    struct op op;
    enum step (*step)(struct netop *io, int fd);
    enum op_result (*result)(struct netop *io); /* after DONE */
    PyObject *got;                              /* what the step has made, or NULL */
    PyObject *held;                             /* a reference for as long as the operation lives, or NULL */
    char *buf;
    Py_ssize_t len, done; /* of buf, and how much of it */
    PyObject *const *args;
    Py_buffer view; /* whose buf it is; its obj NULL: another's */
    struct iowait w;
    bool drained; /* see iowait_end */
    bool nothing; /* it reads no bytes: there is no step */
    bool turn;    /* it has its side of the descriptor, and waits only for its task to go on */
};

extern const struct op_kind netop_late, netop_write;
void netop_clear(struct op *op);
bool netfd_is_open(NetFD *f);
enum step step_read(struct netop *io, int fd);
enum step step_read_into(struct netop *io, int fd), step_read_full(struct netop *io, int fd);
enum step step_write(struct netop *io, int fd), step_accept(struct netop *io, int fd);
enum step step_call(struct netop *io, int fd);
enum op_result result_got(struct netop *io), result_done(struct netop *io);

#endif
