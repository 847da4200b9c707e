/**
 * Whatever is asked of the control thread before it knows anything, while it is replaced and while it stops gets an
 * answer.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import type { ControlData, ControlToMain, MainToControl } from '../../src/control/thread-messages.ts'
import { divideMemory } from '../../src/lib/memory-budget.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { LimitTable } from '../../src/shared-memory/limit-table.ts'
import { LineRing } from '../../src/shared-memory/line-ring.ts'
import { createMetrics } from '../../src/shared-memory/metrics.ts'
import { NamedPlaces } from '../../src/shared-memory/named-places.ts'
import { ProcessBlock } from '../../src/shared-memory/process-block.ts'
import { PurgeLog } from '../../src/shared-memory/purge-log.ts'
import { WorkJournal } from '../../src/shared-memory/work-journal.ts'
import { httpBackend } from '../feature/backends.ts'
import { backend, eventually, route } from '../feature/harness.ts'
import { request } from '../feature/raw-client.ts'
import { type Started, start } from '../main/gateway-process.ts'

const ADMIN_PATHS = ['/healthz', '/readyz', '/metrics', '/api/v1/version', '/api/v1/routes', '/api/v1/backends']
const MORE_ADMIN_PATHS = ['/api/v1/statuses', '/api/v1/problems', '/api/v1/config', '/', '/nothing']
const SIGNS = ['/healthz', '/readyz', '/metrics']
/** Times the control thread is ended; from the third early end on it is started again only after a wait. */
const ENDS = 5

function dataOf(settingsFile: string | undefined, folder: string): ControlData {
  const processLog = [LineRing.create(65_536), LineRing.create(65_536)]
  return {
    role: 'control',
    shared: {
      process: ProcessBlock.allocate(1),
      endpoints: EndpointTable.allocate(1, 64),
      metrics: createMetrics({ workers: 1 }),
      limits: LimitTable.allocate(16, [1, 2], 0),
      places: NamedPlaces.allocate(1, 8),
      purges: PurgeLog.allocate(2),
      cache: undefined,
      journal: WorkJournal.allocate(),
      accessLog: [LineRing.create(65_536)],
      processLog,
    },
    workers: [],
    ports: undefined,
    settings: undefined,
    lastGood: [],
    registrations: [],
    suspects: [],
    served: [],
    settingsFile,
    overrides: [],
    source: { type: 'folder', folder },
    share: { clients: 100, upstreams: 100, seed: 'seed' },
    memory: divideMemory(512 * 2 ** 20, 1),
    log: { level: 'error', format: 'json' },
    version: '1.2.3',
  }
}

describe('a control thread that has no settings yet', () => {
  it('answers what is asked, whatever order the messages come in', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-early-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    const thread = new Worker(new URL('unstarted-control.ts', import.meta.url), {
      workerData: dataOf(join(folder, 'settings.yaml'), folder),
    })
    t.after(() => thread.terminate())
    const ended = once(thread, 'error').then(([error]) => Promise.reject(error))
    ended.catch(() => {})
    const say = (message: MainToControl, transfer: MessagePort[] = []): void => thread.postMessage(message, transfer)
    const { port1, port2 } = new MessageChannel()
    t.after(() => port1.close())
    say({ type: 'worker', index: 0, port: port2 }, [port2])
    say({ type: 'worker-gone', index: 0 })
    const failures = [{ name: 'x', message: 'x' }]
    const sockets = [{ name: 'http', address: '127.0.0.1', port: 1 }]
    say({ type: 'go', ports: { sockets, failures, admin: 1, signals: 2, everyAddress: '::' } })
    for (let id = 1; id <= 3; id++) {
      const answered = once(thread, 'message') as Promise<[ControlToMain]>
      say({ type: 'metrics', id })
      const [message] = await Promise.race([answered, ended])
      assert.ok(message.type === 'metrics' && message.id === id)
      assert.match(message.answer?.body ?? '', /^headgate_build_info\{version="1\.2\.3"/m)
      assert.doesNotMatch(message.answer?.body ?? '', /listener=/)
    }
  })
})

interface Answers {
  readonly statuses: Map<string, number>
  readonly wrong: string[]
  /** It asks no more. */
  readonly over: Promise<unknown>
}

/** Asks for each path again and again until told to stop; a connection that cannot be made counts as status 0. */
function poll(port: number, paths: readonly string[], running: () => boolean): Answers {
  const answers: Omit<Answers, 'over'> = { statuses: new Map(), wrong: [] }
  const one = async (path: string): Promise<void> => {
    while (running()) {
      const { status, text } = await request(port, { path, host: 'localhost' }).catch((error: unknown) => ({
        status: 0,
        text: String(error),
      }))
      const key = `${path} ${status}`
      answers.statuses.set(key, (answers.statuses.get(key) ?? 0) + 1)
      if (![0, 200, 404, 503].includes(status) || /\bat .*\.[jt]s:\d|TypeError/.test(text))
        answers.wrong.push(`${key} ${text}`)
      await delay(3)
    }
  }
  return { ...answers, over: Promise.all(paths.map(one)) }
}

function endsOf({ log }: Started): string[] {
  return log.map(({ message }) => message).filter((message) => /^control (exited|failed|gave)/.test(message))
}

describe('a control thread that ends again and again while it is asked', () => {
  it('never ends because of a question, and no question is left without an answer', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-early-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    const settings = join(folder, 'settings.yaml')
    await writeFile(settings, 'accessLog: { sample: 1 }\n')
    const manifests = { 'a.yaml': route('a', ['a.test'], [{ name: 'all', respond: { statusCode: 200, body: 'a' } }]) }
    const gateway = await start(t, manifests, { flags: ['--settings', settings] })
    let running = true
    t.after(() => {
      running = false
    })
    const signs = poll(gateway.signalsPort, SIGNS, () => running)
    const admin = poll(gateway.adminPort, [...ADMIN_PATHS, ...MORE_ADMIN_PATHS], () => running)
    let requests = 0
    const traffic = (async () => {
      for (; running; requests++) {
        assert.equal((await request(gateway.port, { host: 'a.test' })).text, 'a')
        await delay(5)
      }
    })()
    for (let end = 1; end <= ENDS; end++) {
      // One that is still being loaded does not hear it.
      await eventually(async () => {
        gateway.fault({ thread: 'control', how: end % 2 === 0 ? 'throw' : 'exit' })
        await delay(200)
        assert.ok(endsOf(gateway).length >= end)
      }, 30_000)
      // Some ends come while the next thread is loading, some when it serves.
      await delay(100 * end)
    }
    await delay(1_500)
    running = false
    await Promise.all([signs.over, admin.over, traffic])
    assert.deepEqual(signs.wrong, [])
    assert.deepEqual(admin.wrong, [])
    for (const path of SIGNS) assert.equal(signs.statuses.get(`${path} 0`), undefined, 'the main thread always answers')
    for (const path of ['/readyz', '/healthz']) assert.ok(signs.statuses.get(`${path} 200`)! > 50)
    assert.ok(requests > 50)
    for (const end of endsOf(gateway))
      assert.match(end, /exited with code 7|thrown by the test/, 'only the test ends it')
    assert.ok(!gateway.log.some(({ message }) => /TypeError|unhandled/i.test(message)))
  })

  it('answers until it is gone when the process stops', async (t) => {
    const held: ServerResponse[] = []
    const { port } = await httpBackend(t, (_, response) => void held.push(response))
    const rule = { name: 'all', backendRefs: [{ name: 'up' }] }
    const manifests = { 'a.yaml': backend('up', [port]) + route('a', ['a.test'], [rule]) }
    const gateway = await start(t, manifests, { flags: ['--drain-delay', '300ms'] })
    let running = true
    t.after(() => {
      running = false
    })
    const signs = poll(gateway.signalsPort, SIGNS, () => running)
    const admin = poll(gateway.adminPort, [...ADMIN_PATHS, ...MORE_ADMIN_PATHS], () => running)
    const last = request(gateway.port, { host: 'a.test' })
    await eventually(() => assert.equal(held.length, 1))
    gateway.child.kill('SIGTERM')
    await eventually(() => assert.ok(signs.statuses.get('/readyz 503')! > 5, 'it says that it shuts down'))
    // What it has waited for.
    held[0]!.end('a')
    assert.equal((await last).text, 'a')
    const [code] = await gateway.ended
    running = false
    await Promise.all([signs.over, admin.over])
    assert.equal(code, 0)
    for (const { wrong } of [signs, admin]) assert.deepEqual(wrong, [])
    assert.ok(!gateway.log.some(({ message }) => /failed/.test(message)))
  })
})
