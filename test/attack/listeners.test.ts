/**
 * A client that may reach the public listener alone, and wants what is kept to the internal one: it opens connections
 * while the settings are quiet, and sends on them, in every way a connection can be used, while an operator changes the
 * listeners under its hands.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { freePorts, HOST, listenerRig, type Places } from '../feature/listener-rig.ts'
import { RawClient } from '../feature/raw-client.ts'

const NAMES = ['public', 'internal', 'other']
/** Milliseconds in which an attacker goes on after a change is written: it acts within a few. */
const ATTACK_MS = 250
const REQUEST = `GET /secret HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`
const UPLOAD = `POST /secret HTTP/1.1\r\nhost: ${HOST}\r\ncontent-length: 400\r\n\r\n`

/** Ways to use a connection that was accepted by the public listener. */
const ATTACKS: Readonly<Record<string, (client: RawClient, running: () => boolean) => Promise<void>>> = {
  'requests one after another': (client, running) => repeat(running, 1, () => client.send(REQUEST)),
  'five pipelined requests at a time': (client, running) => repeat(running, 3, () => client.send(REQUEST.repeat(5))),
  'a head sent byte by byte': async (client, running) => {
    for (let at = 0; running(); at = (at + 1) % REQUEST.length) {
      client.send(REQUEST[at]!)
      await delay(1)
    }
  },
  'a body that ends after the change, with a request behind it': async (client, running) => {
    client.send(UPLOAD)
    await repeat(running, 5, () => client.send('x'))
    client.send(`${'x'.repeat(400)}${REQUEST}`)
  },
  'one request long after the change': async (client, running) => {
    while (running()) await delay(5)
    client.send(REQUEST)
  },
}

async function repeat(running: () => boolean, pause: number, act: () => void): Promise<void> {
  while (running()) {
    act()
    await delay(pause)
  }
}

describe('a connection to the public listener', () => {
  for (const tenancy of ['Shared', 'Strict'] as const)
    it(`never gets what is kept to another, whatever becomes of the listeners (${tenancy})`, async (t) => {
      const [one, two, three] = (await freePorts(3)) as [number, number, number]
      const start: Places = [
        ['public', one],
        ['internal', two],
      ]
      const settings =
        tenancy === 'Strict' ? { tenancy, hostnames: [{ namespaces: { from: 'All' }, names: [HOST] }] } : { tenancy }
      const rig = await listenerRig(t, NAMES, start, { settings })
      const changes: Readonly<Record<string, Places>> = {
        'the order is another': [...start].reverse(),
        'the ports are exchanged': [
          ['public', two],
          ['internal', one],
        ],
        'the names are exchanged': [
          ['internal', one],
          ['public', two],
        ],
        'public is renamed internal': [['internal', one]],
        'one comes first': [['other', three], ...start],
        'public goes, and another has its port': [
          ['other', one],
          ['internal', two],
        ],
        'public goes, and internal has its place in the list and its port': [
          ['internal', one],
          ['other', two],
        ],
        'public is all there is': [['public', two]],
      }
      let answers = 0
      for (const [change, places] of Object.entries(changes)) {
        await rig.use(start)
        const attackers = await Promise.all(
          Object.keys(ATTACKS).map(async (attack) => ({ attack, client: await open(one) })),
        )
        let running = true
        const attacks = attackers.map(({ attack, client }) => ATTACKS[attack]!(client, () => running))
        await delay(20)
        await rig.use(places)
        await delay(ATTACK_MS)
        running = false
        await Promise.all(attacks)
        await delay(50)
        for (const { attack, client } of attackers) {
          const got = client.unread.toString('latin1')
          const bodies = got.split('HTTP/1.1 ').filter((part) => part.startsWith('200'))
          answers += bodies.length
          const foreign = bodies.filter((body) => !body.endsWith('\r\n\r\npublic'))
          assert.deepEqual(foreign, [], `${change}: ${attack}`)
          client[Symbol.dispose]()
        }
      }
      assert.ok(answers > 500, `the attackers were answered ${answers} times`)
    })
})

/** A connection that is known to be the public listener's. */
async function open(port: number): Promise<RawClient> {
  const client = await RawClient.connect(port)
  assert.equal((await client.request({ host: HOST, path: '/secret' })).text, 'public')
  client.socket.on('error', () => {})
  return client
}
