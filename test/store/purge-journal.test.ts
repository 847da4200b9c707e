import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { PLAIN, type PurgeRecord } from '../../src/cache/purge-record.ts'
import { PurgeJournal } from '../../src/store/purge-journal.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'

const root = mkdtempSync(join(tmpdir(), 'headgate-purges-'))
after(async () => {
  await running?.stop()
  rmSync(root, { recursive: true })
})
let folders = 0

const record = (name: string): PurgeRecord => ({ ...PLAIN, kind: 'label', namespace: 3, label: 4, text: name, id: 9 })

/** The process before has ended: the folder is of one at a time. */
let running: PurgeJournal | undefined

async function journalOf(folder: string) {
  await running?.stop()
  const heard: string[] = []
  const failures: (string | undefined)[] = []
  const { promise, resolve } = Promise.withResolvers<number>()
  const journal = new PurgeJournal(
    folder,
    { random: Math.random, time: systemTimers },
    {
      began(history, floor, missed) {
        heard.push(`began ${floor}${missed ? ' missed' : ''}`)
        resolve(history)
      },
      told: ({ text, position }) => heard.push(`${text}@${position}`),
      failure: (message) => failures.push(message),
    },
  )
  running = journal
  return { journal, heard, failures, history: await promise }
}

const newFolder = (): string => join(root, String(folders++))

suite('the journal of purges', () => {
  test('tells after a restart what it told before, at the same places', async () => {
    const folder = newFolder()
    const first = await journalOf(folder)
    await Promise.all([first.journal.append([record('a'), record('b')]), first.journal.append([record('c')])])
    assert.deepEqual(first.heard, ['began 0', 'a@1', 'b@2', 'c@3'])
    assert.equal(statSync(join(folder, 'purges.log')).mode & 0o777, 0o600)
    const second = await journalOf(folder)
    assert.equal(second.history, first.history)
    assert.deepEqual(second.heard, first.heard)
    await second.journal.append([record('d')])
    assert.deepEqual((await journalOf(folder)).heard.at(-1), 'd@4')
  })

  test('a line that was cut is forgotten, and the next one stands on its own', async () => {
    const folder = newFolder()
    const first = await journalOf(folder)
    await first.journal.append([record('a')])
    appendFileSync(join(folder, 'purges.log'), 'AAEBAA')
    const second = await journalOf(folder)
    assert.equal(second.history, first.history)
    assert.deepEqual(second.heard, ['began 0', 'a@1'])
    await second.journal.append([record('b')])
    assert.deepEqual((await journalOf(folder)).heard, ['began 0', 'a@1', 'b@2'])
  })

  for (const [what, spoil] of [
    ['another header', (text: string) => text.replace('purges 1', 'purges 2')],
    ['a line that is no record', (text: string) => text.replace(/\n[^\n]+\n/, '\nAAAA\n')],
    ['foreign bytes', () => '\0\xff'.repeat(100)],
  ] as const)
    test(`${what} makes it another history`, async () => {
      const folder = newFolder()
      const first = await journalOf(folder)
      await first.journal.append([record('a'), record('b')])
      const file = join(folder, 'purges.log')
      writeFileSync(file, spoil(readFileSync(file, 'utf8')))
      const second = await journalOf(folder)
      assert.notEqual(second.history, first.history)
      assert.deepEqual(second.heard, ['began 0 missed'])
      assert.equal((await journalOf(folder)).history, second.history)
    })

  test('is bounded, and says from where on it knows', async () => {
    const folder = newFolder()
    const first = await journalOf(folder)
    for (let i = 0; i < 34; i++) await first.journal.append(Array.from({ length: 1_000 }, () => record('x')))
    const second = await journalOf(folder)
    const floor = Number(second.heard[0]?.split(' ')[1])
    assert.ok(floor > 10_000, `${floor}`)
    assert.equal(second.heard.length - 1, 34_000 - floor)
    assert.equal(second.heard.at(-1), 'x@34000')
  })

  test('what cannot be written is not kept, and that is said', async () => {
    const folder = newFolder()
    mkdirSync(join(folder, 'purges.log'), { recursive: true })
    const { journal, heard, failures } = await journalOf(folder)
    assert.match(failures[0]!, /purges.log cannot be written: /)
    await assert.rejects(journal.append([record('a')]))
    assert.deepEqual(heard, ['began 0'])
    rmSync(join(folder, 'purges.log'), { recursive: true })
    await assert.rejects(journal.append([record('a')]))
    await journal.append([record('b')])
    assert.deepEqual(heard, ['began 0', 'b@1'])
    assert.equal(failures.at(-1), undefined)
  })

  test('another process with the same folder has no history until this one has ended', async () => {
    const folder = newFolder()
    const first = await journalOf(folder)
    await first.journal.append([record('a')])
    running = undefined
    const second = journalOf(folder)
    await first.journal.append([record('b')])
    assert.equal(await Promise.race([second, delay(100, 'waits')]), 'waits')
    await first.journal.append([record('c')])
    await first.journal.stop()
    const { heard, history, journal } = await second
    assert.equal(history, first.history)
    assert.deepEqual(heard, ['began 0', 'a@1', 'b@2', 'c@3'])
    await journal.append([record('d')])
    assert.equal(heard.at(-1), 'd@4')
  })

  test('one that waits is stopped at once, and what waits says so until it is its turn', async () => {
    const folder = newFolder()
    const first = await journalOf(folder)
    const failures: (string | undefined)[] = []
    const began: number[] = []
    const late = await new Promise<PurgeJournal>((resolve) => {
      const journal = new PurgeJournal(
        folder,
        { random: Math.random, time: systemTimers },
        {
          began: (history) => began.push(history),
          told: () => {},
          failure(message) {
            failures.push(message)
            resolve(journal)
          },
        },
      )
    })
    assert.match(failures[0]!, /^another process keeps .*purges.log; give each process a state directory of its own/)
    const third = new PurgeJournal(
      folder,
      { random: Math.random, time: systemTimers },
      { began: () => assert.fail(), told: () => {}, failure: () => {} },
    )
    const lost = assert.rejects(third.append([record('lost')]))
    await third.stop()
    await lost
    await assert.rejects(third.append([record('lost')]))
    await first.journal.stop()
    await late.append([record('a')])
    assert.deepEqual([failures.slice(1), began], [[undefined, undefined], [first.history]])
    running = late
  })
})
