/**
 * A thread that listens and never accepts: once its short queue is full, the kernel lets every further connection wait.
 */
import { type AddressInfo, createServer } from 'node:net'
import { parentPort } from 'node:worker_threads'

const server = createServer()
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  parentPort!.postMessage((server.address() as AddressInfo).port)
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})
