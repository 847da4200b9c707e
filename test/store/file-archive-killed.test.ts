import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { FileStore } from '../../src/store/archive/file-store.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { recordArchive } from '../lib/record-archive.ts'
import { found, keyOf, readAll } from '../suite/response-archive.ts'
import { bodyOf, KEYS, recordsOf } from './file-archive-writer.ts'

const folder = mkdtempSync(join(tmpdir(), 'headgate-archive-'))
after(() => rmSync(folder, { recursive: true, force: true }))

describe('files of a process that was killed while it wrote them', () => {
  it('are whole or not there', async () => {
    const writer = new URL('file-archive-writer.ts', import.meta.url)
    let checked = 0
    for (let round = 0; round < 2; round++) {
      const child = spawn(process.execPath, [writer.pathname, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
      const ended = once(child, 'exit')
      // It says so whenever it has put some of them.
      for (let said = 0; said < 8 + 5 * round; ) {
        const [chunk] = await Promise.race([once(child.stdout, 'data'), ended])
        assert.ok(child.exitCode === null, 'it writes until it is killed')
        said += String(chunk).length
      }
      child.kill('SIGKILL')
      await ended
      const store = new FileStore({
        maxFiles: 131_072,
        stateDirectory: folder,
        maxBytes: 1e9,
        clock: systemTimers,
        failure: (message) => assert.equal(message, undefined),
        unread: (message) => assert.fail(message),
      })
      while (store.step());
      const archive = recordArchive({ name: 'File', records: recordsOf(store), deadline: 60_000 })
      for (const key of KEYS) {
        const answer = await archive.find(keyOf(key))
        if (answer.type === 'none') continue
        const hit = found(answer)
        assert.ok((await readAll(hit)).equals(bodyOf(key, Number(Buffer.from(hit.head)))), key)
        checked++
      }
      assert.equal(archive.statistics.foreign, 0, 'what is renamed is whole')
    }
    assert.ok(checked > 0)
  })
})
