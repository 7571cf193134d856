#include "tests/support/wire/certificates.h"

#include <stdio.h>
#include <stdlib.h>

int certificates_make(const char *folder)
{
    const char *key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    char command[2048];

    (void)snprintf(
        command, sizeof(command),
        "cd %s && { openssl req -x509 %s -keyout ca.key -out ca.pem -subj /CN=ca &&"
        " openssl req -x509 %s -keyout other.key -out other.pem -subj /CN=other &&"
        " openssl req %s -keyout server.key -out server.csr -subj /CN=localhost &&"
        " printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > san &&"
        " openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2"
        " -extfile san -out server.pem &&"
        " openssl req %s -keyout client.key -out client.csr -subj /CN=client &&"
        " openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2"
        " -out client.pem; } > log 2>&1",
        folder, key, key, key, key);
    return system(command) == 0 ? 0 : -1;
}
