/** What a client's connection of HTTP/1.1 is in the middle of. */
/** Of nothing, or of a head. */
export const READING = 0
export const EXCHANGE = 1
/** Behind its response, the rest of a request's body is read and dropped. */
export const DISCARDING = 2
/** It ends. */
export const LINGERING = 3
export const CLOSED = 4
export const TUNNEL = 5
