/**
 * h2spec (https://github.com/summerwind/h2spec) against a listener with TLS: 145 cases of RFC 7540 and RFC 7541. The
 * program is built once by Go into the cache of the user.
 */
