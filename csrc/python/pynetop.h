/* pynetop.h: a NetFD, and the operations on one. */
#ifndef GOPY_PYNETOP_H
#define GOPY_PYNETOP_H

#include "pyop.h"

/* A socket whose calls park the goroutine: pynetfd.c. */
typedef struct {
    PyObject_HEAD
    int fd; /* the socket's, as long as the polldesc of that number has seq */
    uint32_t seq;
    bool opened;    /* fd and seq are set */
    PyObject *peer; /* bytes, the address that accept() got, or NULL */
    /* Bytes that a cancelled read_full() had got, or NULL. Only whoever has the reading side of the descriptor touches
     * them. */
    PyObject *unread;
    PyObject *weakrefs;
} NetFD;

/* What has come of a step. AGAIN: it would block. FAILED: errno says why. RAISED: an exception is set. */
enum step { DONE, AGAIN, FAILED, RAISED };

/* One call on a NetFD, which is made in steps. op.obj is the NetFD, or, for a socket of the standard library (pysocket.c), one
 * on the caller's stack that nobody else ever sees. */
struct netop {
    struct op op;
    enum step (*step)(struct netop *io, int fd); /* makes the system call */
    enum op_result (*result)(struct netop *io);  /* after DONE */
    PyObject *got;                               /* what the step has made, or NULL */
    PyObject *held;                              /* a reference for as long as the operation lives, or NULL */
    char *buf;
    Py_ssize_t len, done;  /* how long buf is, and how much of it is done */
    PyObject *const *args; /* step_call's: len of them */
    int flags;             /* of recv(2) or send(2) */
    Py_buffer view;        /* the program's buffer, if buf is one; else its obj is NULL */
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
enum step step_recv(struct netop *io, int fd), step_send(struct netop *io, int fd);
enum step step_call(struct netop *io, int fd);
enum op_result result_got(struct netop *io), result_done(struct netop *io);

#endif
