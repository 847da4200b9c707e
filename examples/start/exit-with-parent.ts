/**
 * Preloaded into the gateway (`--import`) by examples/start.ts: kills the gateway when that process dies. Threads have
 * no channel.
 */
import { isMainThread } from 'node:worker_threads'

if (isMainThread && process.channel) {
  process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  // Listening must not keep the process alive when it wants to end by itself.
  process.channel.unref()
}
