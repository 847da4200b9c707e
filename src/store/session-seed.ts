/** The seed of session tokens in the state directory, so that clients come back to their endpoints after a restart. */
import { randomBytes } from 'node:crypto'
import { closeSync, constants, mkdirSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const FILE = 'session-seed'
/** 256 bits in hexadecimal digits. */
const LENGTH = 64
const SEED = /^[0-9a-f]{64}$/

/**
 * The one that is kept there, or a new one.
 *
 * @param stateDirectory made when it is not there
 * @throws what keeps the file from being read and written, such as a link in its place
 */
export function keptSessionSeed(stateDirectory: string): string {
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 })
  const path = join(stateDirectory, FILE)
  return read(path) ?? make(path)
}

/** @returns undefined when there is none, or half of one */
function read(path: string): string | undefined {
  let file: number
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const bytes = Buffer.alloc(LENGTH + 1)
    const text = bytes.latin1Slice(0, readSync(file, bytes, 0, bytes.length, 0))
    return SEED.test(text) ? text : undefined
  } finally {
    closeSync(file)
  }
}

/** Complete from its first moment on: of two processes that make one, the later wins, and the other's is forgotten. */
function make(path: string): string {
  const seed = randomBytes(LENGTH / 2).toString('hex')
  const draft = `${path}.${process.pid}.tmp`
  rmSync(draft, { force: true })
  const file = openSync(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
  try {
    writeSync(file, seed)
  } finally {
    closeSync(file)
  }
  renameSync(draft, path)
  return read(path) ?? seed
}
