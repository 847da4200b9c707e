/** Secrets of tables in shared memory, so that nobody chooses keys that meet there. */
import { randomBytes } from 'node:crypto'

/** For `hashPrefix`. */
export function secretWords(): readonly [number, number] {
  const secret = randomBytes(8)
  return [secret.readInt32LE(0), secret.readInt32LE(4)]
}
