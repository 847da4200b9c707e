/** The thread that computes hashes of passwords. It begins with the first, and anew where it has ended. */
import { Worker } from 'node:worker_threads'
import type { HashRequest } from './hash-main.ts'

const EXTENSION = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
const ENTRY = new URL(`hash-main${EXTENSION}`, import.meta.url)
/** What it computes with lies outside of the heap, and is bounded by what hashes may ask for. */
const HEAP_MB = 32
const YOUNG_MB = 8

export class HashThread {
  #worker: Worker | undefined
  #settle: PromiseWithResolvers<boolean> | undefined

  /** One at a time. @throws rejects where the thread ends meanwhile */
  check(hash: string, password: string): Promise<boolean> {
    const settle = Promise.withResolvers<boolean>()
    this.#settle = settle
    try {
      this.#worker ??= this.#start()
      this.#worker.postMessage({ hash, password } satisfies HashRequest)
    } catch (error) {
      settle.reject(error)
    }
    return settle.promise
  }

  async stop(): Promise<void> {
    await this.#worker?.terminate()
  }

  #start(): Worker {
    const worker = new Worker(ENTRY, {
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: YOUNG_MB },
      name: 'passwords',
    })
    let cause: unknown
    worker.on('message', (isRight: boolean) => this.#settle?.resolve(isRight))
    worker.on('error', (error) => (cause = error))
    worker.on('exit', () => {
      this.#worker = undefined
      this.#settle?.reject(new Error('the thread that computes hashes has ended', { cause }))
    })
    worker.unref()
    return worker
  }
}
