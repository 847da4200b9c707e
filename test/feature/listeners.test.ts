import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { eventually, route, startGateway } from './harness.ts'
import { freePorts, freshLoad, HOST, keptLoad, listenerRig, type Places } from './listener-rig.ts'
import { RawClient, request } from './raw-client.ts'

describe('listeners whose order in the settings changes', () => {
  it('keep their open connections, their Routes and their metrics', async (t) => {
    const [one, two, three] = (await freePorts(3)) as [number, number, number]
    const places: Places = [
      ['public', one],
      ['internal', two],
      ['steady', three],
    ]
    const rig = await listenerRig(t, ['public', 'internal', 'steady'], places)
    const loads = places.map(([name, port]) => keptLoad(port, name))
    for (const order of [
      [1, 0, 2],
      [2, 1, 0],
      [2, 0, 1],
      [0, 1, 2],
    ]) {
      const before = loads.map((load) => load.answered)
      await rig.use(order.map((at) => places[at]!))
      await eventually(() => assert.ok(loads.every((load, i) => load.answered > before[i]! + 10)))
    }
    const counts = loads.map((load) => load.answered)
    for (const load of loads) assert.deepEqual(await load.stop(), [])
    const { text } = await request(rig.gateway.signalsPort, { path: '/metrics', host: 'localhost' })
    for (const [i, [name]] of places.entries()) {
      const line = new RegExp(`^headgate_requests_total\\{listener="${name}",method="GET",code="200"\\} (\\d+)$`, 'm')
      const counted = Number(line.exec(text)?.[1])
      // Those of the rig, which looks whether all is as it should be, come on top.
      assert.ok(counted >= counts[i]! && counted < counts[i]! + 200, `${name}: ${counted} counted, ${counts[i]} sent`)
    }
  })
})

describe('two listeners that exchange their ports', () => {
  for (const workers of [1, 2])
    it(`end on each other's, and neither port is ever closed (${workers} workers)`, async (t) => {
      const [one, two] = (await freePorts(2)) as [number, number]
      const names = ['public', 'internal']
      const straight: Places = [
        ['public', one],
        ['internal', two],
      ]
      const crossed: Places = [
        ['public', two],
        ['internal', one],
      ]
      const rig = await listenerRig(t, names, straight, { workers })
      const fresh = [one, two].map((port) => freshLoad(port, names))
      for (const places of [crossed, straight, crossed, [...straight].reverse(), [...crossed].reverse()]) {
        const held = await Promise.all(
          rig.places.map(async ([name, port]) => ({ name, client: await ask(port, name) })),
        )
        await rig.use(places)
        for (const { name, client } of held) {
          const answer = await client.request({ host: HOST })
          assert.deepEqual([answer.status, answer.text], [200, name], 'a connection stays with who accepted it')
          const moved = !places.some(([other, port]) => other === name && port === client.socket.remotePort)
          assert.equal(answer.header('connection'), moved ? 'close' : undefined)
          if (moved) await client.closed()
          client[Symbol.dispose]()
        }
      }
      for (const load of fresh) assert.deepEqual(await load.stop(), [])
      assert.ok(fresh.every((load) => load.answered > 20))
      assert.ok(!rig.gateway.processLog.some((line) => line.includes('EADDRINUSE')))
    })

  it('do so also in a circle of three', async (t) => {
    const ports = (await freePorts(3)) as [number, number, number]
    const names = ['a', 'b', 'c']
    const turned = (by: number): Places => names.map((name, i) => [name, ports[(i + by) % 3]!])
    const rig = await listenerRig(t, names, turned(0))
    const fresh = ports.map((port) => freshLoad(port, names))
    for (const by of [1, 2, 0, 2]) await rig.use(turned(by))
    for (const load of fresh) assert.deepEqual(await load.stop(), [])
  })
})

describe('a listener that is removed or renamed', () => {
  it('answers what is under way, then ends its connections', async (t) => {
    const [one, two] = (await freePorts(2)) as [number, number]
    const rig = await listenerRig(
      t,
      ['public', 'internal', 'front'],
      [
        ['public', one],
        ['internal', two],
      ],
    )
    const steady = keptLoad(one, 'public')
    const slow = await ask(two, 'internal')
    // Half a request is on its way when the listener goes.
    slow.send(`GET / HTTP/1.1\r\nhost: ${HOST}\r\n`)
    await rig.use([['public', one]])
    await unrouted(rig, 'internal')
    slow.send('\r\n')
    const answer = await slow.response()
    assert.equal(answer.status, 404, 'there is no such listener any more: only what every listener has is served')
    assert.equal(answer.header('connection'), 'close')
    await slow.closed()
    assert.deepEqual(await steady.stop(), [])

    const kept = await ask(one, 'public')
    await rig.use([['front', one]])
    await unrouted(rig, 'public')
    const last = await kept.request({ host: HOST })
    assert.equal(last.status, 404, 'not the Routes of the new name')
    assert.equal(last.header('connection'), 'close')
    await kept.closed()
  })
})

/** One step of a history: what a person may do to a list of listeners. */
type Step = 'reorder' | 'insert' | 'rename' | 'remove' | 'swap' | 'move' | 'turn'
const STEPS: readonly Step[] = ['reorder', 'insert', 'rename', 'remove', 'swap', 'move', 'turn']
const NAMES = ['n0', 'n1', 'n2', 'n3', 'n4', 'n5']

/** @param pick below its argument */
function changed(places: Places, step: Step, ports: readonly number[], pick: (below: number) => number): Places {
  const unused = NAMES.filter((name) => !places.some(([other]) => other === name))
  const free = ports.filter((port) => !places.some(([, other]) => other === port))
  const list = places.map(([name, port]) => [name, port] as [string, number])
  const at = pick(list.length)
  const other = pick(list.length)
  switch (step) {
    case 'reorder':
      return list
        .map((place) => [pick(1_000), place] as const)
        .sort(([a], [b]) => a - b)
        .map(([, place]) => place)
    case 'insert':
      if (unused.length > 0 && free.length > 0)
        list.splice(at, 0, [unused[pick(unused.length)]!, free[pick(free.length)]!])
      return list
    case 'rename':
      if (unused.length > 0) list[at]![0] = unused[pick(unused.length)]!
      return list
    case 'remove':
      if (list.length > 1) list.splice(at, 1)
      return list
    case 'swap':
      ;[list[at]![1], list[other]![1]] = [list[other]![1], list[at]![1]]
      return list
    case 'move':
      if (free.length > 0) list[at]![1] = free[pick(free.length)]!
      return list
    case 'turn':
      return list.map(([name], i) => [name, list[(i + 1) % list.length]![1]])
  }
}

describe('listeners that change in any way, one time after another', () => {
  it('never cost a request on another listener, nor give a connection the Routes of another', async (t) => {
    const [steadyPort, ...ports] = (await freePorts(6)) as [number, ...number[]]
    const first: Places = [
      ['n0', ports[0]!],
      ['n1', ports[1]!],
    ]
    const rig = await listenerRig(t, ['steady', ...NAMES], [['steady', steadyPort], ...first])
    const steady = keptLoad(steadyPort, 'steady')
    const fresh = freshLoad(steadyPort, ['steady'])
    const history = fc.array(
      fc.record({ step: fc.constantFrom(...STEPS), picks: fc.array(fc.nat(1_000), { minLength: 12, maxLength: 12 }) }),
      { minLength: 4, maxLength: 8 },
    )
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        for (const { step, picks } of steps) {
          const before = rig.places.filter(([name]) => name !== 'steady')
          let used = 0
          const pick = (below: number): number => picks[used++ % picks.length]! % below
          const next = changed(before, step, ports, pick)
          const held = await Promise.all(before.map(async ([name, port]) => ({ name, client: await ask(port, name) })))
          await rig.use([...next.slice(0, 1), ['steady', steadyPort], ...next.slice(1)])
          for (const { name, client } of held) {
            const answer = await client.request({ host: HOST })
            const stays = next.some(([other, port]) => other === name && port === client.socket.remotePort)
            const known = next.some(([other]) => other === name)
            // Until the tables are new, one that is gone still has its own.
            if (known || answer.status !== 404) assert.deepEqual([answer.status, answer.text], [200, name], step)
            assert.equal(answer.header('connection'), stays ? undefined : 'close', `${step}: ${name}`)
            client[Symbol.dispose]()
          }
        }
      }),
      { numRuns: 4, endOnFailure: true },
    )
    assert.deepEqual(await steady.stop(), [])
    assert.deepEqual(await fresh.stop(), [])
    t.diagnostic(`${steady.answered} requests on one connection, ${fresh.answered} on connections of their own`)
  })

  it('end as the newest settings say when they change faster than anything acts', async (t) => {
    const ports = await freePorts(3)
    const rig = await listenerRig(
      t,
      ['steady', ...NAMES],
      [
        ['steady', ports[0]!],
        ['n0', ports[1]!],
      ],
    )
    const steady = keptLoad(ports[0]!, 'steady')
    for (let round = 0; round < 30; round++) {
      const places: Places = [
        [`n${round % 3}`, ports[1 + (round % 2)]!],
        ['steady', ports[0]!],
        [`n${3 + (round % 2)}`, ports[1 + ((round + 1) % 2)]!],
      ]
      await rig.write(round % 4 === 0 ? places.slice(0, 2) : places)
      await delay(round % 7)
    }
    await rig.use([
      ['n5', ports[2]!],
      ['steady', ports[0]!],
    ])
    assert.deepEqual(await steady.stop(), [])
  })
})

describe('a port that cannot be opened', () => {
  it('leaves all else serving, is reported, and is opened as soon as it is free', async (t) => {
    const [one, two, taken] = (await freePorts(3)) as [number, number, number]
    const rig = await listenerRig(
      t,
      ['public', 'internal', 'extra'],
      [
        ['public', one],
        ['internal', two],
      ],
    )
    const other = createServer((socket) => socket.destroy()).listen(taken, '127.0.0.1')
    await once(other, 'listening')
    t.after(() => other.close())
    const loads = [keptLoad(one, 'public'), keptLoad(two, 'internal'), freshLoad(two, ['internal'])]
    // One moves there, and what it had is served on; the order changes besides.
    await rig.write([
      ['internal', taken],
      ['public', one],
    ])
    await reported(rig, taken, 'internal', `stays at 127.0.0.1:${two}`)
    for (const load of loads) {
      const before = load.answered
      await eventually(() => assert.ok(load.answered > before + 10))
    }
    for (const load of loads) assert.deepEqual(await load.stop(), [])
    // Another one shall have the port; what cannot move has to stand back for it.
    await rig.write([
      ['extra', two],
      ['public', one],
      ['internal', taken],
    ])
    await reported(rig, taken, 'internal', 'it is not open')
    await eventually(async () => assert.equal((await request(two, { host: HOST })).text, 'extra'))
    const closed = once(other, 'close')
    other.close()
    await closed
    rig.places = [
      ['extra', two],
      ['public', one],
      ['internal', taken],
    ]
    await eventually(() => rig.settled())
    await eventually(async () => {
      const ready = await request(rig.gateway.signalsPort, { path: '/readyz', host: 'localhost' })
      assert.deepEqual([ready.status, ready.text], [200, 'ok\n'])
      assert.deepEqual(await problems(rig), [])
    })
  })
})

describe('two hundred listeners', () => {
  it('each serve their own Routes and what all have, and come and go beside each other', async (t) => {
    const names = Array.from({ length: 200 }, (_, i) => `n${i}`)
    const own = names.map((name) =>
      route(name, [HOST], [{ name: 'all', respond: { statusCode: 200, body: name } }], { listeners: [name] }),
    )
    const matches = [{ path: { type: 'PathPrefix', value: '/shared' } }]
    const shared = route('shared', [HOST], [{ name: 'all', matches, respond: { statusCode: 200, body: 'all' } }])
    const [late, ...ports] = (await distinctPorts(201)) as [number, ...number[]]
    const before = new Map(names.map((name, i) => [name, ports[i]!]))
    const listeners = (places: Iterable<readonly [string, number]>) =>
      Array.from(places, ([name, port]) => ({ name, address: '127.0.0.1', port }))
    const check = async (places: Iterable<readonly [string, number]>): Promise<void> => {
      for (const [name, port] of places) {
        assert.equal((await request(port, { host: HOST })).text, name)
        assert.equal((await request(port, { host: HOST, path: '/shared/x' })).text, 'all')
      }
    }
    const started = performance.now()
    const manifests = { 'own.yaml': own.join('---\n'), 'shared.yaml': shared }
    const gateway = await startGateway(t, manifests, { workers: 2, settings: { listeners: listeners(before) } })
    const took = performance.now() - started
    await check(before)
    const steady = keptLoad(before.get('n0')!, 'n0')
    const changed = performance.now()
    const after = new Map([...before].filter((_, i) => i < 100 || i >= 150).reverse())
    await gateway.configure({ listeners: listeners([...after, ['late', late]]) })
    await eventually(async () => assert.equal((await request(late, { host: HOST, path: '/shared' })).text, 'all'))
    t.diagnostic(`${Math.round(took)} ms to start, ${Math.round(performance.now() - changed)} ms to change 51 of them`)
    await check(after)
    await eventually(() => assert.rejects(RawClient.connect(before.get('n120')!)))
    assert.deepEqual(await steady.stop(), [])
  })
})

describe('a listener whose address becomes wider or narrower', () => {
  for (const workers of [1, 2])
    it(`is open all the time at the same port (${workers} workers)`, async (t) => {
      const [one, two] = (await freePorts(2)) as [number, number]
      const rig = await listenerRig(
        t,
        ['a', 'b'],
        [
          ['a', one],
          ['b', two],
        ],
      )
      const load = freshLoad(one, ['a'])
      const b = { name: 'b', address: '127.0.0.1', port: two }
      for (const a of [
        { name: 'a', port: one },
        { name: 'a', address: '127.0.0.1', port: one },
        { name: 'a', address: '0.0.0.0', port: one },
      ]) {
        const settings = { listeners: [b, a] }
        await rig.gateway.configure(settings)
        const everywhere = a.address !== '127.0.0.1'
        await eventually(async () => {
          const client = await RawClient.connect(one, '127.0.0.2').catch(() => undefined)
          client?.[Symbol.dispose]()
          assert.equal(client !== undefined, everywhere)
        })
        await rig.settled()
      }
      assert.deepEqual(await load.stop(), [])
    })
})

async function distinctPorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) for (const port of await freePorts(count - ports.size)) ports.add(port)
  return [...ports]
}

/** An open connection that was answered once, for the listener of this name. */
async function ask(port: number, name: string): Promise<RawClient> {
  const client = await RawClient.connect(port)
  assert.equal((await client.request({ host: HOST })).text, name)
  return client
}

type Rig = Awaited<ReturnType<typeof listenerRig>>

async function problems({ gateway }: Rig): Promise<readonly Record<string, unknown>[]> {
  const answer = await request(gateway.adminPort, { path: '/api/v1/problems', host: 'localhost' })
  return answer.json().items as Record<string, unknown>[]
}

/** Every worker has tables in which no Route is kept to this listener. */
async function unrouted({ gateway }: Rig, name: string): Promise<void> {
  await eventually(async () => {
    const routes = await request(gateway.adminPort, { path: '/api/v1/routes', host: 'localhost' })
    assert.ok(!routes.text.includes(`default/${name}`))
    const { text } = await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })
    const [newest] = /(?<=^headgate_generation )\d+$/m.exec(text)!
    for (const [applied] of text.matchAll(/(?<=^headgate_worker_generation\{.*\} )\d+$/gm))
      assert.equal(applied, newest)
  })
}

async function reported(rig: Rig, port: number, name: string, outcome: string): Promise<void> {
  const { gateway } = rig
  await eventually(async () => {
    const ready = await request(gateway.signalsPort, { path: '/readyz', host: 'localhost' })
    assert.equal(ready.status, 200, 'the others are served')
    for (const part of [`listener ${name}: 127.0.0.1:${port} is already in use`, outcome])
      assert.ok(ready.text.includes(part), ready.text)
    // That Routes are kept to a listener which no settings have now is another matter.
    const own = (await problems(rig)).filter(({ object }) => object === 'Settings')
    assert.deepEqual(
      own.map(({ reason }) => reason),
      ['ListenerNotOpen'],
    )
    assert.ok(gateway.processLog.some((line) => line.includes(outcome) && line.includes('(ListenerNotOpen)')))
    // The Route that is kept to it is told by its conditions, and the others are not.
    const told = (await problems(rig)).filter(
      ({ object, reason }) => object !== 'Settings' && reason === 'ListenerNotOpen',
    )
    assert.deepEqual(
      told.map(({ object, message }) => [object, String(message).includes(outcome)]),
      [[`Route default/${name}`, true]],
    )
    const metrics = await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })
    assert.match(metrics.text, /headgate_config_problems\{kind="Settings",reason="ListenerNotOpen"\} 1/)
  })
}
