/**
 * Keys of session tickets (RFC 5077, RFC 8446 §4.6.1), derived so that all workers, and all replicas with the same
 * master, have the same: a session that began on one is resumed on any. A key belongs to one set of TLS options, to the
 * content of its authorities and revocation lists, and to one period of time: a changed authority or list ends
 * resumption under the former, and a key that leaks opens the tickets of one period.
 */
import { hkdfSync } from 'node:crypto'

/** Milliseconds in which a session can be resumed. */
export const SESSION_LIFETIME = 2 * 3_600_000
/** Milliseconds in which one key makes tickets. */
export const TICKET_PERIOD = 12 * 3_600_000

/** How OpenSSL lays it out: the name that stands in clear in each ticket, a key for its MAC and one for its cipher. */
const KEY_BYTES = 48
const NAME_BYTES = 16

export function ticketPeriod(wall: number): number {
  return Math.floor(wall / TICKET_PERIOD)
}

/** @param scope of sessions: what must be equal for one to be resumed */
export function ticketKey(master: Uint8Array, scope: string, period: number): Buffer {
  return Buffer.from(hkdfSync('sha256', master, `${period}`, `headgate session tickets\n${scope}`, KEY_BYTES))
}

export function ticketKeyName(key: Buffer): Buffer {
  return key.subarray(0, NAME_BYTES)
}

/**
 * Whether a ticket of the period before is still resumed. Those who come back with one take a full handshake and a new
 * ticket one after the other over the lifetime of sessions, and not all at once when the period begins.
 *
 * @param place of the client among all, 0 … 1, the same each time
 */
export function resumesFormer(wall: number, place: number): boolean {
  return (wall % TICKET_PERIOD) / SESSION_LIFETIME < place
}
