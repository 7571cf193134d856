/*
 * certificates: an authority, a server's certificate for localhost and 127.0.0.1, a client's, and a
 * stranger's authority, made on the spot by openssl(1): ca server client other, each with .pem and
 * .key.
 */
#ifndef FH_TESTS_CERTIFICATES_H
#define FH_TESTS_CERTIFICATES_H

/* 0, or -1 when openssl failed; its words are in FOLDER/log. */
int certificates_make(const char *folder);

#endif
