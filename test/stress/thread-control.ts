/**
 * The control thread of the stress test: endpoints come and go, slots are given back and used again, all of it at any
 * moment cut short.
 */
import { isMainThread, type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { identityDigest } from '../../src/shared-memory/identity-table.ts'
import { ProcessBlock } from '../../src/shared-memory/process-block.ts'
import { SlotReclaimer } from '../../src/shared-memory/slot-reclaimer.ts'
import { type ControlSays, type MainSays, NAMES, random, type StressData, type ThreadSays } from './thread-messages.ts'

function control(data: StressData): void {
  const block = new ProcessBlock(data.process)
  const table = new EndpointTable(data.endpoints)
  const reclaimer = new SlotReclaimer(table, block)
  const chance = random(data.seed)
  const ports = new Map<number, MessagePort>(data.ports.map(({ index, port }) => [index, port]))
  const current = new Map<number, number>()
  let rounds = 0
  let freed = 0
  let finishing = false

  const tell = (message: ControlSays): void => {
    for (const port of ports.values()) port.postMessage(message)
  }
  const set = (): ControlSays => ({ type: 'set', endpoints: [...current].map(([name, slot]) => ({ name, slot })) })

  const change = (): void => {
    for (let i = 0; i < 6; i++) {
      const name = Math.floor(chance() * NAMES)
      const slot = current.get(name)
      if (slot !== undefined) {
        current.delete(name)
        reclaimer.retire(slot)
        continue
      }
      const fresh = table.identities.insertExclusive(identityDigest('endpoint', name))
      if (fresh === -1) continue
      reclaimer.enlist(fresh)
      current.set(name, fresh)
    }
  }

  const listen = (): void => {
    for (let got = receiveMessageOnPort(parentPort!); got; got = receiveMessageOnPort(parentPort!)) {
      const message = got.message as MainSays
      if (message.type === 'port') {
        ports.set(message.index, message.port)
        message.port.postMessage(set())
        message.port.postMessage({ type: 'epoch', epoch: block.epoch } satisfies ControlSays)
      } else if (message.type === 'gone') ports.delete(message.index)
      else finishing = true
    }
  }

  const round = (): void => {
    listen()
    if (!finishing) change()
    if (rounds === 0) reclaimer.adopt(new Set(current.values()))
    tell(set())
    const epoch = reclaimer.seal()
    if (epoch !== undefined) tell({ type: 'epoch', epoch })
    freed += reclaimer.sweep()
    block.beat(0)
    rounds++
    if (!finishing) {
      setTimeout(round, chance() * 3)
      return
    }
    parentPort!.postMessage({ type: 'finished', rounds: freed } satisfies ThreadSays)
  }
  round()
}

if (!isMainThread) control(workerData as StressData)
