/**
 * Loaded before the gateway (`--import`) when examples/start.ts starts it: ends it when that process dies without a
 * word, so that nothing is left behind. In a thread there is no channel and nothing to do.
 */
import { isMainThread } from 'node:worker_threads'

if (isMainThread && process.channel) {
  process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  // Listening must not keep the process alive when it wants to end by itself.
  process.channel.unref()
}
