/**
 * Servers as the simulation has them, on sockets: so many requests at a time, others wait in the order of their
 * arrival, and the work is waiting. Prints its ports; the last one is for control: `/case/N` makes the servers those
 * of a case, and the answer is what each has served since the last call, and the most that any had at a time.
 */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { BALANCE_CASES, SERVERS } from './balance-cases.ts'
import type { ServerModel } from './simulation.ts'

export interface OriginCounts {
  readonly served: readonly number[]
  readonly most: number
}

const BODY = 'x'.repeat(600)

let most = 0

class WorkingServer {
  model: ServerModel = BALANCE_CASES[0]!.servers[0]!
  served = 0
  #busy = 0
  #waiting: ServerResponse[] = []

  take(response: ServerResponse): void {
    this.served++
    if (this.#busy < this.model.parallel) this.#work(response)
    else this.#waiting.push(response)
    most = Math.max(most, this.#busy + this.#waiting.length)
  }

  /** Those that wait are of the case before. */
  reset(model: ServerModel): void {
    this.model = model
    this.served = 0
    for (const response of this.#waiting) response.destroy()
    this.#waiting = []
  }

  #work(response: ServerResponse): void {
    this.#busy++
    const { failures = 0, failsAfter, service } = this.model
    const fails = Math.random() < failures
    const end = (): void => {
      response.writeHead(fails ? 500 : 200, { 'content-length': BODY.length }).end(BODY)
      this.#busy--
      const next = this.#waiting.shift()
      if (next !== undefined) this.#work(next)
    }
    const work = fails && failsAfter !== undefined ? failsAfter : service(Math.random)
    // Timers know whole milliseconds.
    const whole = Math.floor(work + Math.random())
    if (whole === 0) end()
    else setTimeout(end, whole)
  }
}

const servers = Array.from({ length: SERVERS }, () => new WorkingServer())
const ports: number[] = []
const listeners = [
  ...servers.map((server) => createServer({ keepAliveTimeout: 600_000 }, (_, response) => server.take(response))),
  createServer((request, response) => {
    const counts: OriginCounts = { served: servers.map(({ served }) => served), most }
    const models = BALANCE_CASES[Number(/\d+/.exec(request.url!))]!.servers
    for (const [index, server] of servers.entries()) server.reset(models[index]!)
    most = 0
    response.end(JSON.stringify(counts))
  }),
]
for (const listener of listeners) {
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  ports.push((listener.address() as AddressInfo).port)
}
console.log(JSON.stringify(ports))
