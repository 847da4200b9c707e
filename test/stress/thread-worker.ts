/**
 * A worker of the stress test: takes and gives back slots as fast as it can, and looks whether anybody else is on them.
 */
import { isMainThread, type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { IdentityTable, identityDigest } from '../../src/shared-memory/identity-table.ts'
import { Ledger } from '../../src/shared-memory/ledger.ts'
import { ProcessBlock } from '../../src/shared-memory/process-block.ts'
import {
  type ControlSays,
  LIMIT,
  type MainSays,
  random,
  SHARED_NAMES,
  SLOTS,
  type StressData,
  sharedDigest,
  type ThreadSays,
  type Told,
  WORKERS,
} from './thread-messages.ts'

interface Held extends Told {
  readonly ticket: number
}

function hammer(data: StressData): void {
  const index = data.thread - 1
  const block = new ProcessBlock(data.process)
  const table = new EndpointTable(data.endpoints)
  const words = new BigUint64Array(data.endpoints.identities, 8)
  const tickets = new Int32Array(data.tickets)
  const nextName = new Int32Array(data.nextName)
  const sharedWords = new BigUint64Array(data.names, 8)
  const owners = new Int32Array(data.owners)
  const lone = new Ledger(data.lone, WORKERS)
  const shared = new IdentityTable(data.names)
  const chance = random(data.seed)
  let port: MessagePort | undefined = data.ports[0]?.port
  let set: readonly Told[] = []
  const held: Held[] = []
  let rounds = 0
  let finishing = false

  const violation = (what: string): void => parentPort!.postMessage({ type: 'violation', what } satisfies ThreadSays)

  const takeTicket = (slot: number): number => {
    // The tickets move while we look, so look often; at no moment can all be taken by others unless one too many was
    // admitted.
    for (let look = 0; look < 100_000; look++)
      for (let i = 0; i < LIMIT; i++)
        if (Atomics.compareExchange(tickets, slot * LIMIT + i, 0, index + 1) === 0) return i
    violation(`slot ${slot}: more than ${LIMIT} were admitted`)
    return -1
  }

  const check = ({ name, slot }: Told, when: string): void => {
    if (words[slot] !== identityDigest('endpoint', name)) violation(`slot ${slot} was given away ${when}`)
    if (table.inFlight(slot) < 0) violation(`slot ${slot} has ${table.inFlight(slot)} in flight`)
  }

  const takeOne = (): void => {
    const told = set[Math.floor(chance() * set.length)]
    if (told === undefined || !table.tryAcquire(index, told.slot, LIMIT)) return
    check(told, 'before it was taken')
    held.push({ ...told, ticket: takeTicket(told.slot) })
  }

  const giveOne = (): void => {
    const one = held.splice(Math.floor(chance() * held.length), 1)[0]
    if (one === undefined) return
    check(one, 'while it was held')
    if (one.ticket >= 0) Atomics.store(tickets, one.slot * LIMIT + one.ticket, 0)
    table.release(index, one.slot)
  }

  /**
   * Everybody is at the same few names: the one moment at which two could take the same cell, or one name two of them.
   */
  const insertShared = (): void => {
    for (let i = 0; i < 100; i++) {
      const at = Atomics.load(nextName, 0)
      const name = at + Math.floor(chance() * 4)
      if (name >= SHARED_NAMES) return
      const slot = shared.insert(sharedDigest(name))
      if (slot === -1) violation(`shared name ${name} found no place`)
      else if (Atomics.load(sharedWords, slot) !== sharedDigest(name)) violation(`shared name ${name} was overwritten`)
      Atomics.compareExchange(nextName, 0, at, at + 1)
    }
  }

  /**
   * All want the only place on one slot. Whoever was let in finds nobody there, since all leave before they give back.
   */
  const crowd = (): void => {
    for (let i = 0; i < 2_000; i++) {
      if (!lone.reserve(index, 0, 1)) continue
      if (Atomics.compareExchange(owners, 0, 0, index + 1) !== 0) violation('two were let in where one may be')
      Atomics.store(owners, 0, 0)
      lone.add(index, 0, -1)
    }
  }

  const listen = (): void => {
    for (let got = receiveMessageOnPort(parentPort!); got; got = receiveMessageOnPort(parentPort!)) {
      const message = got.message as MainSays
      if (message.type === 'port') port = message.port
      else finishing = true
    }
    if (port === undefined) return
    for (let got = receiveMessageOnPort(port); got; got = receiveMessageOnPort(port)) {
      const message = got.message as ControlSays
      if (message.type === 'set') set = message.endpoints
      else block.passEpoch(index, message.epoch)
    }
  }

  const round = (): void => {
    listen()
    for (let i = 0; i < 200; i++) {
      const what = chance()
      if (what < 0.45 && held.length < SLOTS) takeOne()
      else giveOne()
    }
    crowd()
    insertShared()
    block.beat(data.thread)
    rounds++
    if (!finishing) {
      setImmediate(round)
      return
    }
    while (held.length > 0) giveOne()
    parentPort!.postMessage({ type: 'finished', rounds } satisfies ThreadSays)
  }
  round()
}

if (!isMainThread) hammer(workerData as StressData)
