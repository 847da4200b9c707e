/** Puts responses into files without an end, for a test that kills it. Its output grows with what it has put. */
import { WHOLE_BYTES } from '../../src/cache/response-archive.ts'
import { FileStore } from '../../src/store/archive/file-store.ts'
import type { Records } from '../../src/store/archive/records.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { recordArchive } from '../lib/record-archive.ts'
import { HOUR, keyOf, sourceOf, ticketOf } from '../suite/response-archive.ts'

export const KEYS = Array.from({ length: 8 }, (_, i) => `page ${i}`)

/** Names its key and version all over; some are longer than a piece. */
export function bodyOf(key: string, version: number): Buffer {
  return Buffer.alloc(key.endsWith('3') ? 3 * WHOLE_BYTES : 5_000, `${key} version ${version}\n`)
}

/** The files without their thread. */
export function recordsOf(store: FileStore): Records {
  return {
    find: async (owner, root, variant) => store.run({ call: 'find', owner, root, variant }) as never,
    commit: async (owner, { stamp, ...commit }) =>
      store.run({ call: 'commit', owner, stamp: stamp as never, ...commit }) as boolean,
    remove: async (owner, root) => void store.run({ call: 'remove', owner, root }),
    hasPieces: async (pieces, count) => store.run({ call: 'has-pieces', ...pieces, count }) as boolean,
    readPiece: async (pieces, index) => store.run({ call: 'read-piece', ...pieces, index }) as Uint8Array | null,
    writePiece: async (pieces, index, bytes, ttl) =>
      void store.run({ call: 'write-piece', ...pieces, index, bytes, ttl }),
    dropPieces: (pieces) => void store.run({ call: 'drop-pieces', ...pieces }),
  }
}

async function write(stateDirectory: string): Promise<never> {
  const store = new FileStore({
    maxFiles: 131_072,
    stateDirectory,
    maxBytes: 1e9,
    clock: systemTimers,
    failure: () => {},
    unread: () => {},
  })
  while (store.step());
  const archive = recordArchive({ name: 'File', records: recordsOf(store), deadline: 60_000 })
  for (let version = 1; ; version++) {
    for (const key of KEYS) {
      const ticket = await ticketOf(archive, keyOf(key))
      await archive.put(ticket, { head: Buffer.from(String(version)), ttl: HOUR }, sourceOf(bodyOf(key, version)))
    }
    process.stdout.write('.')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const [, script = '', folder] = process.argv
if (script.endsWith('file-archive-writer.ts') && folder !== undefined) await write(folder)
