export const title = "models"; export function show() {}
