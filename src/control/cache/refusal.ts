import type { CacheReason, CacheRefusal } from '../../admin/caches.ts'

export function refusal(
  status: CacheRefusal['status'],
  reason: CacheReason,
  title: string,
  detail: string,
): CacheRefusal {
  return { ok: false, status, reason, title, detail }
}
