/**
 * A tenant's program that sends all requests back to the gateway, run in a pod: on port 9000 unchanged, on 9001 without
 * CDN-Loop. On 9002 it returns the number of requests it has received. This file is mounted into the pod, so it has no
 * imports.
 *
 *     node proxy-back.ts ADDRESS PORT HOSTS
 *
 * HOSTS is how many names `hN.loops.example` it asks for in turn on port 9001; on 9000 it asks for the Host that came.
 */
import { Agent, createServer, request } from 'node:http'

const [address, port, hosts] = process.argv.slice(2)
const agent = new Agent({ keepAlive: false })
let count = 0

for (const [listener, strips] of [
  [9000, false],
  [9001, true],
] as const)
  createServer((incoming, response) => {
    count++
    const { host, 'cdn-loop': loop } = incoming.headers
    const headers = strips
      ? { host: `h${count % Number(hosts)}.loops.example` }
      : { host, ...(loop !== undefined && { 'cdn-loop': loop }) }
    const again = request({ agent, host: address, port, path: incoming.url, method: incoming.method, headers })
    again.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    again.on('error', () => response.destroy())
    response.on('close', () => again.destroy())
    incoming.pipe(again)
  }).listen(listener, '0.0.0.0')

createServer((_, response) => response.end(String(count))).listen(9002, '0.0.0.0')
