/**
 * A hostname between its deletion and what is created again, with somebody waiting for it: over bursts, threads and
 * processes that end.
 */
import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { eventually, route } from '../feature/harness.ts'
import { request } from '../feature/raw-client.ts'
import { type Started, start } from '../main/gateway-process.ts'

const rules = (body: string) => [{ name: 'all', respond: { statusCode: 200, body } }]
const owner = (name: string, ...hostnames: string[]) => route(`owner/${name}`, hostnames, rules('owner'))
const THIEF = route('thief/all', ['x.example', '*.x.example', 'free.example'], rules('thief'))

/** Taken away behind the last test: what a test ends at its end still writes until then. */
const ROOT = mkdtempSync(join(tmpdir(), 'headgate-kept-'))
after(() => rm(ROOT, { recursive: true, force: true }))

const ALL = [{ namespaces: { from: 'All' }, names: ['*.example'] }]

async function settingsFile(more: object = {}): Promise<string> {
  const folder = await mkdtemp(join(ROOT, 'settings-'))
  const file = join(folder, 'settings.json')
  const hostnames = [{ namespaces: { from: 'Names', names: ['owner', 'thief'] }, names: ['*.example'] }]
  const stateDirectory = join(folder, 'state')
  await writeFile(file, JSON.stringify({ tenancy: 'Strict', hostnames, stateDirectory, ...more }))
  return file
}

describe('a hostname that somebody waits for', () => {
  const asked = async (gateway: Started, host: string): Promise<string> => {
    const { status, text } = await request(gateway.port, { host })
    return status === 200 ? text : String(status)
  }
  const becomes = (gateway: Started, host: string, answer: string) =>
    eventually(async () => assert.equal(await asked(gateway, host), answer))
  /** Never the thief's meanwhile. */
  const isFreed = async (gateway: Started): Promise<void> => {
    for (let answer = 'owner'; answer !== '404'; answer = await asked(gateway, 'x.example'))
      assert.equal(answer, 'owner')
  }

  /** Before the folder with what it keeps goes. */
  const ended = async (gateway: Started, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    gateway.child.kill(signal)
    await gateway.ended
  }

  it('stays with its namespace through bursts, a control thread that dies, and a process that ends', async (t) => {
    const settings = await settingsFile()
    const flags = ['--settings', settings]
    const first = await start(t, { 'owner.yaml': owner('z', 'x.example') }, { flags })
    await becomes(first, 'x.example', 'owner')
    // Deletion and the other's creation in one moment.
    await writeFile(join(first.folder, 'next'), THIEF)
    await Promise.all([
      rm(join(first.folder, 'owner.yaml')),
      rename(join(first.folder, 'next'), join(first.folder, 'thief.yaml')),
    ])
    await isFreed(first)
    await becomes(first, 'free.example', 'thief')
    assert.equal(await asked(first, 'a.x.example'), 'thief', 'which is nobody else’s')
    await first.logged(/thief\/all: x\.example is kept for namespace owner, whose Route owner\/z had it, until 20/)
    first.fault({ thread: 'control', how: 'throw' })
    await first.logged(/^control failed/)
    await first.write('new.yaml', owner('new', 'new.example'))
    await becomes(first, 'new.example', 'owner')
    assert.equal(await asked(first, 'x.example'), '404')
    first.child.kill('SIGTERM')
    await first.ended
    const second = await start(t, { 'thief.yaml': THIEF }, { flags })
    await becomes(second, 'free.example', 'thief')
    assert.equal(await asked(second, 'x.example'), '404')
    await second.write('owner.yaml', owner('zz', 'x.example'))
    await becomes(second, 'x.example', 'owner')
    // Renamed, moved to another Route, and taken back by an edit.
    await second.write('owner.yaml', owner('zzz', 'x.example', 'y.example'))
    await becomes(second, 'y.example', 'owner')
    assert.equal(await asked(second, 'x.example'), 'owner')
    await second.write('owner.yaml', owner('zzz', 'y.example'))
    await isFreed(second)
  })

  it('is its namespace’s by a record that is there before anybody can see the deletion: the process is killed at that moment', async (t) => {
    const flags = ['--settings', await settingsFile()]
    const names = Array.from({ length: 40 }, (_, i) => `h${i}.example`)
    const thief = route('thief/all', [...names, 'free.example'], rules('thief'))
    const first = await start(t, { 'owner.yaml': owner('z', ...names) }, { flags })
    await becomes(first, names[39]!, 'owner')
    await rm(join(first.folder, 'owner.yaml'))
    // As fast as anybody can see it.
    while ((await asked(first, names[39]!)) !== '404');
    await ended(first, 'SIGKILL')
    const second = await start(t, { 'thief.yaml': thief }, { flags })
    await becomes(second, 'free.example', 'thief')
    for (const name of names) assert.equal(await asked(second, name), '404', name)
    await ended(second, 'SIGTERM')
  })

  it('is its namespace’s when nobody ran to see the deletion, and when all is created anew in another order', async (t) => {
    const settings = await settingsFile()
    const flags = ['--settings', settings]
    // By name, which decides in a folder, `owner` comes before `thief`, and `zoo` after it.
    const zoo = (name: string) => route(`zoo/${name}`, ['zoo.example'], rules('zoo'))
    await writeFile(settings, JSON.stringify({ ...JSON.parse(await readFile(settings, 'utf8')), hostnames: ALL }))
    const waiting = route('thief/all', ['x.example', 'zoo.example', 'free.example'], rules('thief'))
    const first = await start(t, { 'owner.yaml': owner('z', 'x.example'), 'zoo.yaml': zoo('a') }, { flags })
    await becomes(first, 'zoo.example', 'zoo')
    await first.write('thief.yaml', waiting)
    await becomes(first, 'x.example', 'owner')
    await becomes(first, 'zoo.example', 'thief')
    await first.logged(
      /^zoo\.example has come from namespace zoo \(Route zoo\/a\) to namespace thief .*thief\/all comes before Route zoo\/a by name/,
    )
    await ended(first, 'SIGTERM')
    const second = await start(t, { 'thief.yaml': waiting }, { flags })
    await becomes(second, 'free.example', 'thief')
    assert.equal(await asked(second, 'x.example'), '404', 'the deletion was seen by nobody')
    await second.write('owner.yaml', owner('zzzz', 'x.example'))
    await becomes(second, 'x.example', 'owner')
    await ended(second, 'SIGTERM')
  })

  it('is free when its time is over, by itself', async (t) => {
    const flags = ['--settings', await settingsFile({ hostnameHold: '1s' })]
    const gateway = await start(t, { 'owner.yaml': owner('z', 'x.example') }, { flags })
    await gateway.write('thief.yaml', THIEF)
    await becomes(gateway, 'free.example', 'thief')
    await rm(join(gateway.folder, 'owner.yaml'))
    await becomes(gateway, 'x.example', 'thief')
  })
})
