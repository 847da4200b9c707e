import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Archive } from '../../../src/control/archive/archive.ts'
import { divideMemory } from '../../../src/lib/memory-budget.ts'
import { FileRecords } from '../../../src/store/archive/file-records.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

const MIB = 1_024 * 1_024
const BUDGET = divideMemory(512 * MIB, 1, 0, true).archive!
const closing: (() => unknown)[] = []
after(async () => {
  for (const close of closing.toReversed()) await close()
})

interface Rig {
  readonly stateDirectory: string
  readonly archive: Archive
  readonly records: FileRecords
  readonly warnings: string[]
}

function rig(): Rig {
  const stateDirectory = mkdtempSync(join(tmpdir(), 'headgate-archive-'))
  const warnings: string[] = []
  const archive = new Archive({ time: systemTimers, warn: (message) => warnings.push(message) })
  const records: FileRecords = new FileRecords({
    time: systemTimers,
    deadline: 10_000,
    patience: 10_000,
    ask: () => archive.ask((port) => records.use(port)),
  })
  closing.push(async () => {
    records.use(null)
    await archive.stop()
    rmSync(stateDirectory, { recursive: true, force: true })
  })
  return { stateDirectory, archive, records, warnings }
}

/** What a lookup finds; waits as long as there is no answer. */
async function lookUp(records: FileRecords, root: string): Promise<Uint8Array | null | string> {
  for (;;) {
    const answer = await records.find('shop', root, null).catch(({ reason }: { reason: string }) => reason)
    if (typeof answer !== 'string') return answer.root
    if (answer !== 'away') return answer
    await pause(5)
  }
}

const ROOT = 'a'.repeat(43)

describe('the thread with the files of the cache', () => {
  it('begins with the first worker that asks for it, and keeps what it has been given', async () => {
    const { archive, records, stateDirectory } = rig()
    const early = lookUp(records, ROOT)
    archive.open({ stateDirectory, maxBytes: MIB }, BUDGET)
    assert.equal(await early, null)
    const { stamp } = await records.find('shop', ROOT, null)
    const record = Buffer.alloc(100, 7)
    // While it takes over what is there nothing is written.
    while (!(await records.commit('shop', { root: ROOT, stamp, record, variant: null, ttl: 60_000 }))) await pause(5)
    assert.deepEqual(Buffer.from((await lookUp(records, ROOT)) as Uint8Array), record)
  })

  it('says that memory has no room for them, once', async () => {
    const { archive, records, stateDirectory, warnings } = rig()
    archive.open({ stateDirectory, maxBytes: MIB }, null)
    assert.equal(await lookUp(records, ROOT), 'absent')
    archive.ask(() => {})
    assert.equal(warnings.length, 1)
    assert.match(warnings[0]!, /no room .* Raise the limit/)
  })

  it('says that there are none, and why they cannot be used', async () => {
    const none = rig()
    none.archive.open(undefined, BUDGET)
    assert.equal(await lookUp(none.records, ROOT), 'absent')
    const { archive, records, stateDirectory, warnings } = rig()
    symlinkSync(tmpdir(), join(stateDirectory, 'cache'))
    archive.open({ stateDirectory, maxBytes: MIB }, BUDGET)
    const looking = lookUp(records, ROOT)
    while (warnings.length === 0) await pause(5)
    assert.match(warnings[0]!, /cannot be used: .* is no folder/)
    records.use(null)
    assert.equal(await looking, 'absent')
  })
})
