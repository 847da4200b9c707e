/** Entry of the thread that computes hashes of passwords: so it holds up neither requests nor the pool of threads. */
import { parentPort } from 'node:worker_threads'
import { checkPassword } from '../../auth/check-password.ts'

/** One at a time: the next comes when this one is answered. */
export interface HashRequest {
  readonly hash: string
  readonly password: string
}

const port = parentPort!
port.on('message', ({ hash, password }: HashRequest) => port.postMessage(checkPassword(hash, password)))
