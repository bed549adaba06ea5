export const title = "settings"; export function show() {}
