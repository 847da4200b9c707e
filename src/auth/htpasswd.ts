/** Users and the hashes of their passwords, as htpasswd writes them: a line for each, `name:hash`. */
import { parsePasswordHash } from './password-hash.ts'

/** By name the text of the hash. */
export type Users = ReadonlyMap<string, string>

export interface UsersFault {
  /** A clause: what is wrong and what to do. It never has a part of a hash. */
  readonly fault: string
}

/** Of one Secret, which has a megabyte at most. */
export const MAX_USERS = 10_000
/** Characters of a name, as it goes to logs and headers. */
const MAX_NAME = 256

const UNUSABLE = /[\p{Cc}:\ufffd]/u

/** @param text in UTF-8; empty lines and those that begin with # are for people */
export function parseUsers(text: string): Users | UsersFault {
  const users = new Map<string, string>()
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const where = `line ${i + 1}`
    const colon = line.indexOf(':')
    if (colon <= 0) return { fault: `${where} has no name and colon before a hash; write it with htpasswd` }
    const name = line.slice(0, colon)
    if (name.length > MAX_NAME || UNUSABLE.test(name))
      return { fault: `${where} has a name of more than ${MAX_NAME} characters, or with a character that no name has` }
    if (users.has(name)) return { fault: `${where} has a name that stands in a line before; leave one of them out` }
    if (users.size === MAX_USERS) return { fault: `it has more than ${MAX_USERS} users; use several Secrets` }
    const hash = line.slice(colon + 1).trim()
    const parsed = parsePasswordHash(hash)
    if ('fault' in parsed) return { fault: `${where} ${parsed.fault}` }
    users.set(name, hash)
  }
  return users.size === 0 ? { fault: 'it has no user; write one with htpasswd -B' } : users
}

/** The form in which workers get them. */
export function writeUsers(users: Users): string {
  return JSON.stringify([...users])
}

/** @param text of {@link writeUsers} */
export function readUsers(text: string): Users {
  return new Map(JSON.parse(text) as [string, string][])
}
